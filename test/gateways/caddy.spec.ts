import { CADDY } from './gateway.js';
import { describeGateway } from './guarantees.js';

describeGateway(CADDY);
