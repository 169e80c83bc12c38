/** The dialects of systemd's files: units (systemd.syntax(7), systemd.service(5)) and .nspawn files (systemd.nspawn(5)). */

/** [section, [[key, value], ...]]; a key may stand in several lines. */
export type Section = readonly [name: string, lines: readonly (readonly [key: string, value: string])[]];

/** One of our own command lines goes on in the next line here: systemd.syntax(7). */
export const continued = ' \\\n  --then ';

/** A file of sections with empty ones left out. Throws where a value would become more than one line: it must never get so far. */
export function iniText(comment: readonly string[], sections: readonly Section[]): string {
  const head = comment.map((line) => `# ${line}`);
  const blocks = sections.filter(([, lines]) => lines.length > 0).map(([name, lines]) => [`[${name}]`, ...lines.map(([key, value]) => `${key}=${value}`)]);
  const all = [...head, ...blocks.flatMap((block) => ['', ...block]), ''];
  for (const line of all) if (/\p{Cc}/u.test(line.replaceAll(continued, ' --then ')) || goesOn(line)) throw new Error(`a line of a unit would not end where it should: ${JSON.stringify(line)}`);
  return all.join('\n');
}

/** Whether a line ends in a backslash that goes with no other one: the next line would be a part of it. */
export function goesOn(line: string): boolean {
  let count = 0;
  while (line[line.length - 1 - count] === '\\') count++;
  return count % 2 === 1;
}

/** % begins a specifier in every value of a unit. */
export const unitValue = (text: string): string => text.replaceAll('%', '%%');

/** One word of ExecStart= or Environment=: quoted and escaped as systemd.syntax(7) has it. `$` begins a variable in ExecStart= alone. */
const quoted = (word: string): string => (/^[\w@%+=:,./^-]+$/.test(word) ? word : `"${word.replace(/[\\"]/g, '\\$&')}"`);

/** An argument list as ExecStart= takes it; the first word is an absolute path. */
export const commandLine = (argv: readonly string[]): string => argv.map((word) => quoted(unitValue(word).replaceAll('$', '$$$$'))).join(' ');

/** NAME=VALUE as one word of Environment= in a unit. */
export const assignment = (name: string, value: string): string => quoted(unitValue(`${name}=${value}`));

/**
 * One word of Environment= or Parameters= in a .nspawn file: split at white space, quotes taken off, backslashes left as they
 * are and nothing expanded (config_parse_strv() in systemd's conf-parser.c), so that a quote can only stand in quotes of the other kind.
 * A backslash at the end stands in quotes: at the end of a line it would make the next one a part of it.
 */
export const settingWord = (word: string): string =>
  /^[^\s'"]+$/.test(word) && !word.endsWith('\\') ? word : word === '' ? '""' : (word.match(/"+|[^"]+/g) ?? []).map((part) => (part.startsWith('"') ? `'${part}'` : `"${part}"`)).join('');

/** FROM:TO of Bind= in a .nspawn file: a colon ends a path, a backslash makes one part of it (bind_mount_parse() in nspawn-mount.c). */
export const bindPath = (path: string): string => path.replace(/[\\:]/g, '\\$&');
