import { Global, Module } from '@nestjs/common';
import { ChangeFeed } from './change-feed.service.js';
import { ChangeListener } from './change-listener.service.js';

/** What changed in the database, for the caches of every instance. */
@Global()
@Module({
  providers: [ChangeListener, ChangeFeed],
  exports: [ChangeFeed],
})
export class ChangeFeedModule {}
