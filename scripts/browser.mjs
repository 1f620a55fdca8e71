// The headless Chromium of the scripts that look at pages: Debian's, driven by playwright-core from npm in the folder
// that KHOANH_NODE names (or here). Nothing is measured or judged in this file.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(join(process.env.KHOANH_NODE || process.cwd(), 'x.js'));
const { chromium } = require('playwright-core');

/** A browser with a software renderer that goes nowhere by itself. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
    env: { ...process.env, HOME: mkdtempSync(join(tmpdir(), 'khoanh-browser-')) },
  });
}
