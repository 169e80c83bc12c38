import { boot } from '/work/main/test/booted.ts';
import { writeFileSync } from 'node:fs';
const after: (() => unknown)[] = [];
const host = await boot({ after: (f: never) => void after.push(f) } as never);
writeFileSync('/tmp/booted', host.folder);
console.log('ready', host.folder);
process.on('SIGTERM', async () => { for (const f of after) await f(); process.exit(0); });
setInterval(() => {}, 1000);
