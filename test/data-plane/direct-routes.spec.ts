import { Body, Controller, Header, HttpCode, Module, Post, Req, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../src/common/app-error.js';
import { Redactor } from '../../src/common/redactor.js';
import { loadConfig } from '../../src/config/load-config.js';
import { ClientAddresses } from '../../src/http/client-address.service.js';
import { callDirectly } from '../../src/data-plane/direct-routes.js';
import { Operation } from '../../src/contract/operation.js';
import { ProblemFilter } from '../../src/http/problem.filter.js';
import { RequestContextFactory } from '../../src/http/request-context-factory.service.js';
import { RouteTable } from '../../src/contract/route-table.service.js';
import { testEnvironment } from '../support/test-app.js';

const DIRECT = { summary: '-', description: '-', resourceType: '-', isDirect: true };

@Controller('plain')
class PlainController {
  readonly #greeting = 'hello';

  @Post()
  @HttpCode(202)
  @Operation('plain', DIRECT)
  answer(@Req() { url }: { url: string }): object {
    return { greeting: this.#greeting, url };
  }

  @Post('later')
  @Operation('plain_later', DIRECT)
  async answerLater(@Req() { url }: { url: string }): Promise<object> {
    if (url.endsWith('?fail')) throw new AppError('request.malformed', 'It failed.');
    return { greeting: this.#greeting };
  }
}

@Controller('piped')
class PipedController {
  @Post()
  @Operation('piped', DIRECT)
  answer(@Body() body: object): object {
    return body;
  }
}

@Controller('guarded')
class GuardedController {
  @Post()
  @UseGuards({ canActivate: () => false })
  @Operation('guarded', DIRECT)
  answer(@Req() { url }: { url: string }): object {
    return { url };
  }
}

@Controller('headed')
class HeadedController {
  @Post()
  @Header('x-more', 'more')
  @Operation('headed', DIRECT)
  answer(@Req() { url }: { url: string }): object {
    return { url };
  }
}

const FILTER = new ProblemFilter(
  new RouteTable(),
  new Redactor(['en_']),
  new RequestContextFactory(new ClientAddresses(loadConfig(testEnvironment('postgres://localhost/none')))),
  { observe: () => Promise.resolve() },
);

/** The routes of one controller, called directly behind a guard that answers `admits`. */
async function appOf(
  controller: new () => object,
  admits: boolean | Promise<boolean> = true,
): Promise<NestFastifyApplication> {
  @Module({ controllers: [controller] })
  class Routes {}
  const app = await NestFactory.create<NestFastifyApplication>(Routes, new FastifyAdapter(), {
    logger: false,
    abortOnError: false,
  });
  callDirectly(app, {
    guard: { canActivate: () => admits, isAdmitted: () => admits === true },
    filter: FILTER,
  });
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  return app;
}

describe('a handler that Fastify calls itself', () => {
  it.each([
    ['at once', '/plain', 202, { greeting: 'hello', url: '/plain' }],
    ['later', '/plain/later', 201, { greeting: 'hello' }],
  ])('answers %s as it would behind the router of Nest', async (_when, url, status, body) => {
    const app = await appOf(PlainController);
    const answer = await app.inject({ method: 'POST', url });
    expect([answer.statusCode, answer.json()]).toEqual([status, body]);
    await app.close();
  });

  it.each([
    ['refuses at once', false],
    ['refuses later', Promise.resolve(false)],
  ])('is not reached where the guard %s', async (_when, admits) => {
    const app = await appOf(PlainController, admits);
    const answer = await app.inject({ method: 'POST', url: '/plain' });
    expect(answer.statusCode).toBe(403);
    expect(answer.json()).toMatchObject({ code: 'permission.denied' });
    await app.close();
  });

  it('hands what it throws to the filter', async () => {
    const app = await appOf(PlainController, Promise.resolve(true));
    const answer = await app.inject({ method: 'POST', url: '/plain/later?fail' });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ detail: 'It failed.', instance: '/plain/later' });
    await app.close();
  });

  it.each([PipedController, GuardedController, HeadedController])(
    'keeps the service from starting when it needs that router: %o',
    async (controller) => {
      await expect(appOf(controller)).rejects.toThrow(
        `${controller.name}.answer cannot be called directly: it may take @Req() alone.`,
      );
    },
  );
});
