import { Global, Module } from '@nestjs/common';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { EventPublisher } from './event-publisher.js';

/** Domain events and how they are published. */
@Global()
@Module({
  imports: [EventEmitterModule.forRoot({ wildcard: true, maxListeners: 50 })],
  providers: [EventPublisher],
  exports: [EventPublisher],
})
export class EventsModule {}
