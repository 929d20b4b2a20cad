import { type DynamicModule, Global, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { projectPath } from '../common/project-path.js';
import { ClientAddresses } from './client-address.service.js';
import { ErrorPagesController } from './error-pages.controller.js';
import { ExpensiveRequestCounts } from '../contract/expensive-requests.service.js';
import { GuideController } from './guide.controller.js';
import { GuideFiles } from './guide-files.service.js';
import { InputPipe } from '../contract/input.pipe.js';
import { ProblemFilter } from './problem.filter.js';
import { RequestContextFactory } from './request-context-factory.service.js';
import { RouteTable } from '../contract/route-table.service.js';

/** What every route shares: checked input, problem documents, the route table. */
@Global()
@Module({})
export class HttpModule {
  static forRoot(routes: RouteTable): DynamicModule {
    return {
      module: HttpModule,
      controllers: [ErrorPagesController, GuideController],
      providers: [
        { provide: RouteTable, useValue: routes },
        ClientAddresses,
        RequestContextFactory,
        ExpensiveRequestCounts,
        { provide: GuideFiles, useFactory: () => new GuideFiles(projectPath('dist-guide')) },
        { provide: APP_PIPE, useClass: InputPipe },
        ProblemFilter,
        { provide: APP_FILTER, useExisting: ProblemFilter },
      ],
      exports: [ClientAddresses, ExpensiveRequestCounts, RouteTable],
    };
  }
}
