// @ts-check
/** Reads settings from the file .env in the current folder, if there is one. What the environment has already stays. */
import { existsSync } from 'node:fs';

if (existsSync('.env')) process.loadEnvFile('.env');
