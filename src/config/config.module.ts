import { type DynamicModule, Global, Module } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Redactor } from '../common/redactor.js';
import { Config } from './config.js';

/** Gives every module the checked configuration, the clock and the redactor of secrets. */
@Global()
@Module({})
export class ConfigModule {
  static forRoot(config: Config, redactor: Redactor, clock: Clock = new Clock()): DynamicModule {
    const providers = [
      { provide: Config, useValue: config },
      { provide: Clock, useValue: clock },
      { provide: Redactor, useValue: redactor },
    ];
    return { module: ConfigModule, providers, exports: providers };
  }
}
