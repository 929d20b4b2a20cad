import { NGINX } from './gateway.js';
import { describeGateway } from './guarantees.js';

describeGateway(NGINX);
