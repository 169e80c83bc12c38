import { writeFileSync } from 'node:fs';
import { encodePng } from '../src/png.ts';
import { type Host, hosts, power } from '../test/lab/computer.ts';

const [host = 'trixie', ...argv] = process.argv.slice(2);
if (!(hosts as readonly string[]).includes(host)) throw new Error(`there is no ${host} in the lab: ${hosts.join(', ')}`);

const ends: (() => unknown)[] = [];
const computer = await power({ after: ((end: () => unknown) => { ends.unshift(end); }) as never }, host as Host);
const { stdin, stdout, stderr } = process;
process.on('SIGUSR1', () => void computer.screen().then((screen) => writeFileSync('screen.png', encodePng(screen))));
stderr.write(`lab: ${host} is on. kill -USR1 ${process.pid} writes screen.png\n`);

// script(1) makes the terminal that a pipe is not.
const size = `stty rows ${stdout.rows || 24} columns ${stdout.columns || 80};`;
const job = argv.length ? computer.start(...argv) : computer.start('env', `TERM=${process.env.TERM ?? 'linux'}`, 'script', '--quiet', '--return', '--command', `${size} exec bash --login`, '/dev/null');
job.pipe(stdout, stderr);
if (stdin.isTTY && !argv.length) stdin.setRawMode(true);
stdin.on('data', (data) => job.send(data)).on('end', () => job.close());
const { status } = await job.ended;
if (stdin.isTTY) stdin.setRawMode(false);
for (const end of ends) await end();
process.exit(status);
