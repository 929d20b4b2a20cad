import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { Changes } from './changes.service.js';
import { EventPublisher } from './event-publisher.service.js';

/** Domain events, how they are published, and the changes that they tell of. */
@Global()
@Module({
  imports: [DiscoveryModule, EventEmitterModule.forRoot({ wildcard: true, maxListeners: 50 })],
  providers: [Changes, EventPublisher],
  exports: [EventPublisher],
})
export class EventsModule {}
