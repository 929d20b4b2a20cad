import { Injectable } from '@nestjs/common';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { Metrics } from './metrics.service.js';

/** How old the knowledge is that memory is answered from: past five seconds the data plane answers 503. */
@Injectable()
export class ChangeFeedMetrics {
  constructor(metrics: Metrics, feed: ChangeFeed) {
    metrics.gauge({
      name: 'latchkey_change_feed_age_seconds',
      help: 'Age of the newest successful read of the change feed. Above 5, verdicts are answered 503.',
      collect() {
        this.set(feed.ageMs() / 1_000);
      },
    });
  }
}
