import { Baseline1764302000000 } from './1764302000000-baseline.js';

/** Every migration, oldest first. Named one by one: a glob finds nothing under some runners. */
export const MIGRATIONS = [Baseline1764302000000];
