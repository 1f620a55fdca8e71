// Prepares the viewer's finished build for /viewer/: node scripts/viewer.mjs PACKAGE FOLDER
//
// Left out: source maps, the AI runtime (ort/), service workers and sign-in pages, which name other hosts.
// Changed: the addresses of its own files, which the build has at the root of a host; and one line that takes the first
// letter of a VOI LUT Function for the function, so that no image that names one is shown.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const [from, to] = process.argv.slice(2);
const dropped = /(\.map|^ort\/.*|^(sw|init-service-worker|google|oidc-client\.min|es6-shim\.min|polyfill\.min)\.js|^silent-refresh\.html|^serve\.json|^_headers|^_redirects|^app-config\.js|^customizations\/index\.html)$/;
const compressed = /\.(js|css|html|json|jsonc|svg|wasm|webapp|xml|ico)$/;
const COMPRESS_MIN = 1024;

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

function must(condition, what) {
  if (!condition) throw new Error(`the build is not the expected one: ${what}`);
}

function page(text) {
  // The server puts the path in front of its own paths where {{base}} stands.
  let out = text.replace(/<script[^>]*init-service-worker\.js[^>]*><\/script>/, '');
  out = out.replaceAll('window.PUBLIC_URL="/"', 'window.PUBLIC_URL="{{base}}/viewer/"');
  out = out.replaceAll(/(href|src|content)="\/(?!\/)/g, '$1="{{base}}/viewer/');
  out = out.replace('<html lang="en">', '<html>');
  must(!out.includes('init-service-worker') && out.includes('src="{{base}}/viewer/app.bundle'), 'index.html');
  return out;
}

let places = 0;
let functions = 0;
function script(text) {
  // Where further pieces lie: beside the worker that asks, or where the page says.
  const moved = text.replaceAll("'/dicom-microscopy-viewer/", "window.PUBLIC_URL + 'dicom-microscopy-viewer/")
    .replaceAll(/\(voiLutModule\.voiLUTFunction\?\.length &&\s+voiLutModule\.voiLUTFunction\[0\]\)/g, () => {
      functions += 1;
      return '[voiLutModule.voiLUTFunction].flat()[0]';
    });
  return moved.replaceAll('__webpack_require__.p = "/"', () => {
    places += 1;
    return '__webpack_require__.p = typeof window !== "undefined" && window.PUBLIC_URL || new URL("./", self.location.href).pathname';
  });
}

const root = join(from, 'dist');
mkdirSync(to, { recursive: true });
cpSync(join(from, 'LICENSE'), join(to, 'LICENSE.txt'));
for (const path of files(root)) {
  const name = relative(root, path);
  if (dropped.test(name)) continue;
  const target = join(to, name);
  mkdirSync(join(target, '..'), { recursive: true });
  let bytes = readFileSync(path);
  if (name === 'index.html') bytes = Buffer.from(page(bytes.toString('utf8')));
  else if (name.endsWith('.js')) {
    const text = script(bytes.toString('utf8')).replace(/\n\/\/# sourceMappingURL=[^\n]*\s*$/, '\n');
    bytes = Buffer.from(text);
  } else if (name.endsWith('.css')) bytes = Buffer.from(bytes.toString('utf8').replaceAll('url(/', 'url('));
  else if (name === 'manifest.json') bytes = Buffer.from(bytes.toString('utf8').replaceAll('"/assets/', '"assets/').replaceAll('"start_url": "/"', '"start_url": "./"'));
  writeFileSync(target, bytes);
  if (!compressed.test(name) || name === 'index.html' || bytes.length < COMPRESS_MIN) continue;
  const brotli = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: bytes.length > 1 << 18 ? 5 : 9, [constants.BROTLI_PARAM_LGWIN]: 22 },
  });
  const gzip = gzipSync(bytes, { level: 6 });
  if (brotli.length < bytes.length * 0.95) writeFileSync(`${target}.br`, brotli);
  if (gzip.length < bytes.length * 0.95) writeFileSync(`${target}.gz`, gzip);
}
must(places > 0, 'no script says where its pieces lie');
must(functions === 1, 'the line of the VOI LUT Function');
must(existsSync(join(to, 'index.html')), 'no page');
let total = 0;
for (const path of files(to)) total += statSync(path).size;
process.stderr.write(`${[...files(to)].length} files, ${(total / 1048576).toFixed(0)} MiB\n`);
