// Copies what the pages use from node_modules to ../static/vendor, with each package's licence.

import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const vendor = join(here, "..", "static", "vendor");

const files = {
  "lightweight-charts/dist/lightweight-charts.standalone.production.mjs": "lightweight-charts/lightweight-charts.js",
  "lightweight-charts/LICENSE": "lightweight-charts/LICENSE.txt",
  "@fontsource-variable/ibm-plex-sans/files/ibm-plex-sans-latin-wght-normal.woff2": "ibm-plex/sans.woff2",
  "@fontsource-variable/ibm-plex-sans/LICENSE": "ibm-plex/LICENSE.txt",
  "@fontsource/ibm-plex-mono/files/ibm-plex-mono-latin-400-normal.woff2": "ibm-plex/mono-400.woff2",
  "@fontsource/ibm-plex-mono/files/ibm-plex-mono-latin-500-normal.woff2": "ibm-plex/mono-500.woff2",
  "@fontsource/ibm-plex-mono/LICENSE": "ibm-plex/mono-LICENSE.txt",
};

rmSync(vendor, { recursive: true, force: true });
for (const [from, to] of Object.entries(files)) {
  const target = join(vendor, to);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(join(here, "node_modules", from), target);
}
copyFileSync(join(here, "NOTICE.txt"), join(vendor, "NOTICE.txt"));
writeFileSync(join(vendor, ".installed"), "");
