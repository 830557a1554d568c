#!/usr/bin/env node
// Plain old JavaScript, valid as a script and as a module: an older Node must get as far as the message below.
var need = [24, 15];
var have = process.versions.node.split('.').map(Number);
if (have[0] < need[0] || (have[0] === need[0] && have[1] < need[1])) {
  process.stderr.write(
    'hearth needs Node.js ' +
      need.join('.') +
      ' or newer, and this is ' +
      process.versions.node +
      '.\n' +
      'Get a newer one from https://nodejs.org/ and try again.\n',
  );
  process.exit(1);
} else {
  import('./start.mjs').then((start) => start.daemon());
}
