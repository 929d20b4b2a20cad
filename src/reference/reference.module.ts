import { Module } from '@nestjs/common';
import { ReferenceController } from './reference.controller.js';

/** The names that the wire format uses, with their meaning. */
@Module({ controllers: [ReferenceController] })
export class ReferenceModule {}
