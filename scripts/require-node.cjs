// @ts-check
/* Ends with one sentence on a Node that is too old. Written so that even a very old one can read it. */
/* eslint-disable no-var */
var parts = process.versions.node.split('.').map(Number);
var major = parts[0] || 0;
var minor = parts[1] || 0;
if (major < 20 || (major === 20 && minor < 19)) {
  console.error('Node ' + process.versions.node + ' is too old: Latchkey needs 20.19 or newer.');
  process.exit(1);
}
