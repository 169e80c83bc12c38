import { basename } from 'node:path/posix';
import { readBefore, readCommand, type Word } from './command.ts';
import { needless, unsaid } from './common.ts';
import { collector, type Setting } from './settings.ts';
import { plainLines } from './text.ts';
import { commandsOf, type Part, plain, type RawCommand, type RawWord, wordsOf } from './words.ts';

/**
 * Shell scripts with a command systemd-nspawn in them. Variables are followed from line to line as they are assigned, also those that are
 * lists of options; nothing is run, and so what only a run would tell stays open and is told.
 */

/** Another text inside of it that is read as a file: a script may write a .nspawn file by a here-document. */
export interface Written {
  path: string;
  text: string;
  line: number;
}

export interface Script {
  settings: Setting[];
  /** Lines of the commands systemd-nspawn; the first of them was read. */
  found: number[];
  writes: Written[];
}

/** Around what only a run would tell, within a text: none of these stand in what people write. */
const [opens, closes] = ['\ue000', '\ue001'];
const marks = /[\ue000\ue001]/g;
const betweenMarks = new RegExp(`${opens}([^${closes}]*)${closes}`);
const splitAtSpaces = new RegExp(`(?:${opens}[^${closes}]*${closes}|[^\\s${opens}])+`, 'g');

/** Longer than any command line can be: ARG_MAX for one word in linux/binfmts.h. */
const longestWord = 131_072;

interface Value {
  /** One text for a variable, several for a list. */
  words: string[];
  line: number;
  /** It was assigned where it depends on something whether that line is run. */
  branch: boolean;
}

/** What variables are as far as the script has been read, and how many characters may still come of them: one that is used again and again is not followed for ever. */
interface Scope {
  values: Map<string, Value>;
  left: number;
}

const mostExpanded = 2 ** 20;

const assignmentForm = /^([A-Za-z_]\w*)(\+?)=$/;

/** The text of a script, or a single command line. */
export function readShell(text: string, file: string): Script {
  const { settings, add } = collector(file);
  const { commands, told } = commandsOf(plainLines(text).join('\n').replace(marks, ''));
  const scope: Scope = { values: new Map(), left: mostExpanded };
  const notes = new Map<string, number>();
  const found: number[] = [];
  const writes: Written[] = [];
  let depth = 0;
  let taken: Setting[] | null = null;
  const others: { line: number; name: string; shown: string }[] = [];

  for (const command of commands) {
    const words = withoutKeywords(command);
    for (const word of command.words) depth += deeper(plain(word) ?? '');
    for (const [i, { text: body, line }] of command.texts.entries()) {
      const target = command.writes[i] ?? command.words.find((word) => /\.(nspawn|conf|service)$/.test(plain(word) ?? ''));
      if (target) writes.push({ path: expand(target, scope, notes)[0]?.text ?? '', text: body, line });
    }
    if (assigned(words, depth, scope, notes)) continue;
    const own = new Map<string, number>();
    const all = words.flatMap((word) => expand(word, scope, own));
    const start = all.findIndex((word) => basename(word.text) === 'systemd-nspawn');
    const inner = all.findIndex((word, i) => i > 0 && all[i - 1]!.text === '-c' && word.text.includes('systemd-nspawn') && /(^|\/)(ba|da)?sh$/.test(all[i - 2]?.text ?? ''));
    if (inner >= 0 && start < 0) {
      const nested = readShell(all[inner]!.text, file);
      if (nested.found.length === 0) continue;
      found.push(command.line);
      taken ??= nested.settings.map((setting) => ({ ...setting, at: { file, line: command.line } }));
    } else if (start >= 0 && isRun(all, start)) {
      found.push(command.line);
      if (taken) continue;
      taken = [...readBefore(all.slice(0, start), file), ...readCommand(all.slice(start + 1), file)];
      for (const [what, line] of new Map([...notes, ...own])) add(line, what, needless('taken to be so: it may be another one when the script is run'));
      for (const line of told.filter((one) => one >= command.line && one <= (all.at(-1)?.line ?? 0))) add(line, '# ...', needless('a shell would end the command at this comment: what comes after it is taken as meant'));
    } else others.push({ line: command.line, name: basename(all[0]?.text ?? ''), shown: all.map((word) => word.text).join(' ') });
  }
  for (const line of found.slice(1)) add(line, 'systemd-nspawn ...', unsaid('a further command: one machine file is for one of them'));
  if (taken) for (const { line, name, shown } of others) if (!isSilent(name)) add(line, shown, unsaid(advice[name] ?? 'a command of the script, and nestbox runs none'));
  return { settings: [...(taken ?? []), ...settings], found, writes };
}

/** It is started, and not only looked for. */
const isRun = (words: readonly Word[], start: number): boolean => !words.slice(0, start).some(({ text }) => /^(echo|printf|which|type|command|man|apt|apt-get|dnf|pacman|pgrep|pkill|killall|grep)$/.test(text)) && words.length > start + 1;

const opening = /^(if|while|until|for|case|\{)$/;
const closing = /^(fi|done|esac|\})$/;
const deeper = (word: string): number => (opening.test(word) ? 1 : closing.test(word) ? -1 : 0);

/** `then`, `do`, `!` and the like stand before a command. */
function withoutKeywords({ words }: RawCommand): RawWord[] {
  const first = words.findIndex((word) => !/^(if|then|else|elif|while|until|do|!|\{|time|fi|done|esac|\})$/.test(plain(word) ?? '?'));
  return first < 0 ? [] : words.slice(first);
}

/** NAME=VALUE alone, also behind export, local, readonly and declare; `for NAME in` and `read NAME` make one unknown. */
function assigned(words: readonly RawWord[], depth: number, scope: Scope, notes: Map<string, number>): boolean {
  const first = plain(words[0] ?? { parts: [], line: 0 }) ?? '';
  if (first === 'for' || first === 'read') {
    for (const word of first === 'for' ? words.slice(1, 2) : words.slice(1)) scope.values.set(plain(word) ?? '', { words: [`${opens}$${plain(word)}${closes}`], line: word.line, branch: false });
    return true;
  }
  const list = /^(export|local|readonly|declare|typeset)$/.test(first) ? words.slice(1).filter((word) => !(plain(word) ?? '').startsWith('-')) : words;
  if (list.length === 0 || !list.every((word) => isAssignment(word) || (list !== words && /^\w+$/.test(plain(word) ?? '')))) return list.length === 0 && words.length > 0;
  for (const word of list) assign(word, depth, scope, notes);
  return true;
}

/** The name and the `=` of an assignment must be written out. */
function headOf({ parts }: RawWord): { name: string; adds: boolean; rest: Part[] } | null {
  const [first, ...more] = parts;
  if (first?.kind !== 'text' || first.quoted) return null;
  const equals = first.text.indexOf('=');
  const form = assignmentForm.exec(first.text.slice(0, equals + 1));
  return form && { name: form[1]!, adds: form[2] === '+', rest: [{ ...first, text: first.text.slice(equals + 1) }, ...more] };
}

const isAssignment = (word: RawWord): boolean => headOf(word) !== null;

function assign(word: RawWord, depth: number, scope: Scope, notes: Map<string, number>): void {
  const head = headOf(word);
  if (!head) return;
  const before = scope.values.get(head.name);
  const array = head.rest.find((part) => part.kind === 'array');
  const value = array ? array.words.flatMap((one) => marked(one.parts, scope, notes, true, word.line)) : [marked(head.rest, scope, notes, false, word.line)[0] ?? ''];
  if (head.adds && before) scope.left -= lengthOf(before.words);
  const joined = scope.left <= 0 ? [`${opens}...${closes}`] : !head.adds || !before ? value : array ? [...before.words, ...value] : [`${before.words[0] ?? ''}${value[0]!}`, ...before.words.slice(1)];
  scope.values.set(head.name, { words: bounded(joined), line: word.line, branch: depth > 0 });
}

const lengthOf = (words: readonly string[]): number => words.reduce((sum, word) => sum + word.length, words.length);

/** A script that doubles a variable again and again must not fill the memory. */
function bounded(words: readonly string[]): string[] {
  const out: string[] = [];
  let length = 0;
  for (const word of words) {
    length += word.length + 1;
    if (length > longestWord) return [...out, `${opens}...${closes}`];
    out.push(word);
  }
  return out;
}

/** A word as the shell makes words of it, each with what cannot be known in it. */
function expand(word: RawWord, scope: Scope, notes: Map<string, number>): Word[] {
  return marked(word.parts, scope, notes, true, word.line).map((text) => ({ text: text.replace(marks, ''), line: word.line, unknown: betweenMarks.exec(text)?.[1] ?? null }));
}

/** `splits`: what a variable outside of quotes has in it becomes several words at its spaces. */
function marked(parts: readonly Part[], scope: Scope, notes: Map<string, number>, splits: boolean, line: number, depth = 0): string[] {
  const words: string[] = [];
  let word: string | null = null;
  const glue = (text: string) => {
    word = `${word ?? ''}${text}`;
  };
  for (const part of parts) {
    if (part.kind === 'array') continue;
    if (part.kind === 'text') {
      glue(part.text);
      continue;
    }
    if (part.kind === 'unknown') {
      glue(`${opens}${part.source}${closes}`);
      continue;
    }
    const values = valueOf(part, scope, notes, depth, line);
    const split = part.quoted || !splits ? (part.all && splits ? values : [values.join(' ')]) : values.flatMap((text) => splitText(text));
    if (split.length === 0) continue;
    glue(split[0]!);
    for (const next of split.slice(1)) {
      words.push(word!);
      word = next;
    }
    if ((word?.length ?? 0) > longestWord) word = `${opens}...${closes}`;
  }
  return bounded(word === null ? words : [...words, word]);
}

/** At spaces, but not within what is unknown. */
const splitText = (text: string): string[] => text.match(splitAtSpaces) ?? [];

function valueOf({ name, all, operator, argument, source, quoted }: Extract<Part, { kind: 'variable' }>, scope: Scope, notes: Map<string, number>, depth: number, at: number): string[] {
  const value = scope.left > 0 ? scope.values.get(name) : undefined;
  scope.left -= value ? lengthOf(value.words) : 0;
  const inner = (): string[] => (depth > 8 ? [`${opens}${source}${closes}`] : [wordsOf(quoted ? `"${argument.replaceAll('"', '')}"` : argument).map((word) => marked(word.parts, scope, notes, false, at, depth + 1).join(' ')).join(' ')]);
  if (value && (value.words.join('') !== '' || !operator.startsWith(':'))) {
    if (operator.endsWith('+')) return inner();
    if (value.branch) notes.set(`$${name} = ${value.words.join(' ').replace(marks, '')}`, value.line);
    return all ? value.words : value.words.slice(0, 1);
  }
  if (operator.endsWith('+')) return [];
  if (operator.endsWith('-') || operator.endsWith('=')) {
    const [text] = inner();
    notes.set(`$${name} = ${text!.replace(marks, '')}`, at);
    return [text!];
  }
  return value ? (all ? value.words : value.words.slice(0, 1)) : [`${opens}${source}${closes}`];
}

/** Programs that only say something or decide. */
const isSilent = (name: string): boolean => /^(|echo|printf|test|\[|\[\[|set|exit|return|cd|shift|true|false|:|local|trap|usage|sleep|wait|cat|command|which|source|\.|unset|id|in|function|break|continue|shopt|alias|\w+\(\)|eval|export|pwd|whoami|clear|read)$/.test(name);

const volumes = '[root] luks = "...", volume = "..." and image = "..." open and mount it at each start, and close it at each end';
const fences = 'network = "private" has rules of its own, and takes them back';

/** What a machine file says in place of other commands that are in such scripts. */
const advice: Record<string, string> = {
  xhost: 'display = "nested" needs no such opening; [display.x11] gives the machine a key of its own, and takes it back',
  xauth: 'display = "nested" and [display.x11] make a key of their own', mount: volumes, umount: volumes, losetup: volumes, cryptsetup: volumes, kpartx: volumes, vgchange: volumes, lvchange: volumes, 'qemu-nbd': volumes,
  iptables: fences, nft: fences, ip: fences, brctl: fences, sysctl: fences, ufw: fences, 'firewall-cmd': fences,
  modprobe: 'nestbox loads no drivers; what is missing is told when the machine starts', pactl: 'audio = "playback" needs no module in the host\'s sound server', setfacl: 'nodes that a machine is given are its own, with its own rights', chmod: 'nodes that a machine is given are its own, with its own rights', mknod: 'devices = [...] makes the nodes',
  Xephyr: 'display = "nested" starts it, and ends it with the machine', Xvfb: 'display = "headless" starts it, and ends it with the machine', debootstrap: '[root] debian = "..." builds a root', mmdebstrap: '[root] debian = "..." builds a root', pacstrap: '[root] arch = true builds a root',
  machinectl: 'nestbox start, stop, shell and list do that', systemctl: 'nestbox start, stop and enable do that',
};
