// Chooses the program: the sources of a checkout, or the built package. Compiled code is kept between runs (module compile cache).
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';

enableCompileCache();
const inCheckout = existsSync(new URL('../src/cli/main.ts', import.meta.url));

export const cli = () => import(inCheckout ? '../src/cli/main.ts' : '../dist/cli/main.js');
export const daemon = () => import(inCheckout ? '../src/app/daemon/main.ts' : '../dist/app/daemon/main.js');
