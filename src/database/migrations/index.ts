import { Baseline1764302000000 } from './1764302000000-baseline.js';
import { Organizations1764374400000 } from './1764374400000-organizations.js';

/** Every migration, oldest first. Named one by one: a glob finds nothing under some runners. */
export const MIGRATIONS = [Baseline1764302000000, Organizations1764374400000];
