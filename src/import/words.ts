/**
 * The words of a shell script (POSIX, and the arrays of bash), split as a shell does and never run: quotes, continued lines, comments,
 * redirections, the texts of here-documents. What would have to be run stays as it was written.
 */

export type Part =
  | { kind: 'text'; text: string; quoted: boolean }
  /** `$NAME`, `${NAME}`, `${NAME:-argument}`, `${NAME[@]}`. */
  | { kind: 'variable'; name: string; all: boolean; operator: string; argument: string; source: string; quoted: boolean }
  /** `$(...)`, `$1`, `${NAME##*\/}`: only running it would tell. */
  | { kind: 'unknown'; source: string; quoted: boolean }
  /** What stands in the parentheses of NAME=(...). */
  | { kind: 'array'; words: RawWord[] };

export interface RawWord {
  parts: Part[];
  line: number;
}

/** A simple command: what stands between two operators or line ends. */
export interface RawCommand {
  words: RawWord[];
  line: number;
  /** Files that it writes to by > and >>, and texts that it is given by <<. */
  writes: RawWord[];
  texts: { text: string; line: number }[];
}

/** Deeper than any script that somebody has written. */
const deepest = 20;

/** All simple commands, in their order, whatever stands around them. `told`: lines of comments inside of a continued command, where a shell would end it. */
export function commandsOf(text: string): { commands: RawCommand[]; told: number[] } {
  const scanner = new Scanner(text);
  scanner.script();
  return { commands: scanner.commands, told: scanner.told };
}

/** One text split into words alone, as in NAME=(...). */
export function wordsOf(text: string): RawWord[] {
  return commandsOf(text).commands.flatMap(({ words }) => words);
}

class Scanner {
  readonly commands: RawCommand[] = [];
  readonly told: number[] = [];
  private at = 0;
  private line = 1;
  private current: RawCommand | null = null;
  private word: RawWord | null = null;
  /** Here-documents whose text begins at the next line. */
  private pending: { command: RawCommand; end: string; tabs: boolean }[] = [];
  /** What the next word is for: the target of a redirection, which is no word of the command. */
  private target: 'writes' | 'reads' | 'text' | 'tabbed text' | null = null;

  private readonly text: string;
  private readonly depth: number;

  constructor(text: string, depth = 0, line = 1) {
    this.text = text;
    this.depth = depth;
    this.line = line;
  }

  private matches(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    return pattern.exec(this.text);
  }

  script(): void {
    while (this.at < this.text.length) this.step();
    this.endCommand();
  }

  private step(): void {
    const c = this.text[this.at]!;
    if (c === '\\') this.backslash();
    else if (c === '\n') this.lineEnd();
    else if (c === ' ' || c === '\t') {
      this.endWord();
      this.at++;
    } else if (c === '#' && this.word === null) this.comment();
    else if (c === '(' && this.word && /^[A-Za-z_]\w*\+?=$/.test(plain(this.word) ?? '')) this.array();
    else if (c === '<' || c === '>' || (c === '&' && this.text[this.at + 1] === '>')) this.redirection();
    else if (/[;()|&]/.test(c)) {
      this.endCommand();
      this.at++;
    } else if (c === "'") this.single();
    else if (c === '"') this.double();
    else if (c === '`') this.backtick(false);
    else if (c === '$') this.dollar(false);
    else {
      const run = this.matches(/[^\\\s#;&|()<>'"`$]+/y)?.[0] ?? c;
      this.literal(run, false);
      this.at += run.length;
    }
  }

  private lineEnd(): void {
    this.endCommand();
    this.at++;
    this.line++;
    this.readPending();
  }

  /** At the end of a line the command goes on, also where a comment stands between; else it makes the next character one like others. */
  private backslash(): void {
    const continued = this.matches(/\\[ \t]*(#[^\n]*)?\n/y);
    if (continued && (this.text[this.at + 1] === '\n' || this.goesOn(this.at + continued[0].length))) {
      if (this.text[this.at + 1] !== '\n' && continued[1]) this.told.push(this.line);
      this.at += continued[0].length;
      this.line++;
      if (/^[ \t#]/.test(this.text[this.at] ?? '')) this.skipComments();
      return;
    }
    this.literal(this.text[this.at + 1] ?? '\\', true);
    if (this.text[this.at + 1] === '\n') this.line++;
    this.at += 2;
  }

  /** Whether what comes looks like more options of the same command. */
  private goesOn(from: number): boolean {
    const pattern = /(?:[ \t]*#[^\n]*\n)*[ \t]*-/y;
    pattern.lastIndex = from;
    return pattern.test(this.text);
  }

  /** Lines of comments in the middle of a command, as far as more of it comes behind them. */
  private skipComments(): void {
    for (let line = this.matches(/[ \t]*#[^\n]*(\n|$)/y); line; line = this.matches(/[ \t]*#[^\n]*(\n|$)/y)) {
      if (!/\\\s*$/.test(line[0]) && !this.goesOn(this.at + line[0].length)) return;
      this.endWord();
      this.told.push(this.line);
      this.at += line[0].length;
      this.line++;
    }
  }

  private comment(): void {
    const [text] = this.matches(/#[^\n]*/y)!;
    if (/\\\s*$/.test(text) && this.current && this.goesOn(this.at + text.length + 1)) {
      this.told.push(this.line);
      this.at += text.length + 1;
      this.line++;
    } else this.at += text.length;
  }

  private literal(text: string, quoted: boolean): void {
    this.begin();
    this.word!.parts.push({ kind: 'text', text, quoted });
  }

  private begin(): void {
    this.word ??= { parts: [], line: this.line };
  }

  private command(): RawCommand {
    this.current ??= { words: [], line: this.word?.line ?? this.line, writes: [], texts: [] };
    return this.current;
  }

  private endWord(): void {
    const word = this.word;
    if (!word) return;
    this.word = null;
    const command = this.command();
    if (this.target === null) command.words.push(word);
    else if (this.target === 'writes') command.writes.push(word);
    else if (this.target !== 'reads') this.pending.push({ command, end: plain(word) ?? '', tabs: this.target === 'tabbed text' });
    this.target = null;
  }

  private endCommand(): void {
    this.endWord();
    this.target = null;
    if (this.current) this.commands.push(this.current);
    this.current = null;
  }

  private redirection(): void {
    const [whole, operator] = this.matches(/&?(<<<|<<-|<<|>>|>\||[<>]&|<>|[<>])/y)!;
    const number = this.word && /^\d+$/.test(plain(this.word) ?? '') ? this.word : null;
    if (number) this.word = null;
    else this.endWord();
    this.command();
    this.at += whole.length;
    this.target = operator === '<<' ? 'text' : operator === '<<-' ? 'tabbed text' : operator!.startsWith('>') && !operator!.endsWith('&') ? 'writes' : 'reads';
  }

  /** The texts of here-documents, up to the line that ends each. */
  private readPending(): void {
    for (const { command, end, tabs } of this.pending.splice(0)) {
      const begun = this.line;
      const lines: string[] = [];
      while (this.at < this.text.length) {
        const stop = this.text.indexOf('\n', this.at);
        const line = this.text.slice(this.at, stop < 0 ? this.text.length : stop);
        this.at = stop < 0 ? this.text.length : stop + 1;
        this.line++;
        if ((tabs ? line.replace(/^\t+/, '') : line) === end) break;
        lines.push(tabs ? line.replace(/^\t+/, '') : line);
      }
      command.texts.push({ text: lines.join('\n'), line: begun });
    }
  }

  private single(): void {
    const end = this.text.indexOf("'", this.at + 1);
    const text = this.text.slice(this.at + 1, end < 0 ? this.text.length : end);
    this.literal(text, true);
    this.line += breaksIn(text);
    this.at = end < 0 ? this.text.length : end + 1;
  }

  private double(): void {
    this.literal('', true);
    this.at++;
    while (this.at < this.text.length && this.text[this.at] !== '"') {
      const c = this.text[this.at]!;
      if (c === '$') this.dollar(true);
      else if (c === '`') this.backtick(true);
      else if (c === '\\' && /[$`"\\\n]/.test(this.text[this.at + 1] ?? '')) {
        if (this.text[this.at + 1] === '\n') this.line++;
        else this.literal(this.text[this.at + 1]!, true);
        this.at += 2;
      } else {
        const run = this.matches(/[^$`"\\]+/y)?.[0] ?? c;
        this.literal(run, true);
        this.line += breaksIn(run);
        this.at += run.length;
      }
    }
    this.at++;
  }

  /** One that only holds a comment is how a comment is put into a continued command. */
  private backtick(quoted: boolean): void {
    const end = this.text.indexOf('`', this.at + 1);
    const inner = this.text.slice(this.at + 1, end < 0 ? this.text.length : end);
    this.line += breaksIn(inner);
    this.at = end < 0 ? this.text.length : end + 1;
    if (!quoted && /^\s*(#.*)?$/.test(inner)) return;
    this.unknown(`\`${inner}\``, quoted);
  }

  private unknown(source: string, quoted: boolean): void {
    this.begin();
    this.word!.parts.push({ kind: 'unknown', source, quoted });
  }

  private dollar(quoted: boolean): void {
    const next = this.text[this.at + 1] ?? '';
    const name = this.matches(/\$([A-Za-z_]\w*)/y);
    if (!quoted && (next === "'" || next === '"')) {
      this.at++;
      if (next === "'") this.single();
      else this.double();
    } else if (next === '(' || next === '{') {
      const begun = this.at;
      const inner = next === '(' ? this.inside('(', ')') : this.inside('{', '}');
      const source = this.text.slice(begun, this.at);
      this.begin();
      this.word!.parts.push(next === '(' ? { kind: 'unknown', source, quoted } : parameter(inner, source, quoted));
    } else if (name) {
      this.begin();
      this.word!.parts.push({ kind: 'variable', name: name[1]!, all: false, operator: '', argument: '', source: name[0], quoted });
      this.at += name[0].length;
    } else if (/[\d@*#?!$-]/.test(next)) {
      this.unknown(`$${next}`, quoted);
      this.at += 2;
    } else {
      this.literal('$', quoted);
      this.at++;
    }
  }

  /** From the `$` before an opening sign to the closing one that belongs to it; returns what is between. */
  private inside(open: string, close: string): string {
    const begun = this.at + 2;
    let level = 0;
    for (this.at++; this.at < this.text.length; this.at++) {
      const c = this.text[this.at];
      if (c === '\\') this.at++;
      else if (c === "'" && open === '(') {
        const end = this.text.indexOf("'", this.at + 1);
        if (end > 0) this.at = end;
      } else if (c === open) level++;
      else if (c === close && --level === 0) break;
    }
    const inner = this.text.slice(begun, this.at);
    this.line += breaksIn(inner);
    this.at = Math.min(this.at + 1, this.text.length);
    return inner;
  }

  private array(): void {
    this.at--; // inside() begins one before the sign
    const line = this.line;
    const inner = this.inside('(', ')');
    const words = this.depth >= deepest ? [] : new Scanner(inner, this.depth + 1, line).all();
    this.word!.parts.push({ kind: 'array', words });
  }

  /** The words of all commands as one list: in NAME=(...) a line end is a space. */
  private all(): RawWord[] {
    this.script();
    return this.commands.flatMap(({ words }) => words);
  }
}

const breaksIn = (text: string): number => text.split('\n').length - 1;

/** A word that says nothing but itself; null: it has variables or more in it. */
export const plain = ({ parts }: RawWord): string | null => (parts.every((part) => part.kind === 'text') ? parts.map((part) => (part as Extract<Part, { kind: 'text' }>).text).join('') : null);

function parameter(inner: string, source: string, quoted: boolean): Part {
  const [whole, name, index, operator = '', argument = ''] = /^([A-Za-z_]\w*|\d+)(?:\[([@*])\])?(?:(:?[-=+?])([\s\S]*))?$/.exec(inner) ?? [];
  return whole === undefined ? { kind: 'unknown', source, quoted } : { kind: 'variable', name: name!, all: index !== undefined, operator, argument, source, quoted };
}
