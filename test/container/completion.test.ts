import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { commands } from '../../src/cli.ts';
import { bash } from '../../src/completion/bash.ts';
import { fish } from '../../src/completion/fish.ts';
import { zsh } from '../../src/completion/zsh.ts';
import { folder, nestbox } from '../nestbox.ts';

/** What a shell offers for the last word of each of these lines, sorted. */
type Ask = (questions: readonly (readonly string[])[]) => string[][];

interface World {
  /** Where the shell is. */
  at: string;
  from: { files: string; machines: string; runs: string; templates: string };
}

/** Two machines that are installed, one that is made, one that runs, a file beside, and names that are no machines. */
function world(t: TestContext): World {
  const base = folder(t);
  const from = { files: `${base}/etc`, machines: `${base}/machines`, runs: `${base}/run`, templates: `${base}/templates` };
  const at = `${base}/here`;
  for (const path of [...Object.values(from), `${from.machines}/studio`, `${from.runs}/steam`, `${from.runs}/image.0123`, `${from.templates}/debian-bookworm-00ff`, at, `${at}/sub`]) mkdirSync(path, { recursive: true });
  for (const path of [`${from.files}/steam.toml`, `${from.files}/web-server.toml`, `${from.files}/$(touch evil).toml`, `${at}/my machine.toml`, `${at}/notes.txt`, `${at}/card.img`]) writeFileSync(path, '');
  return { at, from };
}

const lines = (text: string): string[] => text.split('\n').filter(Boolean).sort();

const shells: Record<string, (w: World) => Ask> = {
  bash({ at, from }) {
    writeFileSync(`${at}/../nestbox`, bash(commands, from));
    // As bash calls it for a person who has pressed the key.
    const driver = 'shopt -s progcomp; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _nestbox nestbox "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"';
    return (questions) => questions.map((words) => lines(execFileSync('bash', ['--norc', '-c', driver, 'driver', `${at}/../nestbox`, ...words], { cwd: at, encoding: 'utf8', timeout: 120_000 })));
  },
  zsh({ at, from }) {
    writeFileSync(`${at}/../_nestbox`, zsh(commands, from));
    // A terminal of its own, in which the key is pressed; what would be shown is written down where it is added.
    writeFileSync(`${at}/../zshrc`, `
PROMPT=; unsetopt zle_bracketed_paste prompt_sp beep; autoload -Uz compinit; compinit -u -C -d ${at}/../dump
compadd () {
  local -a found
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return $?; fi
  builtin compadd -A found "$@"
  (( $#found )) && print -rl -- $found >> "$OUT"
  builtin compadd "$@"
}
source ${at}/../_nestbox
bindkey '^I' complete-word
integer asked=0
done_ () { print -r -- end $((++asked)) >> "$OUT" }
zle -N done_; bindkey '^G' done_
print -r -- ready >> "$OUT"
`);
    const driver = `zmodload zsh/zpty zsh/zselect
: > $OUT
zpty -b z "cd ${at}; ZDOTDIR=${at}/.. exec zsh -f -i"
wait_for() {
  local i ignored
  for (( i = 0; i < 6000; i++ )); do
    while zpty -rt z ignored 2>/dev/null; do :; done
    [[ $(<$OUT) == *$1 ]] && return
    zselect -t 2
  done
  exit 3
}
zpty -w z "source ${at}/../zshrc"
wait_for ready
integer n=0
for line; do
  zpty -wn z "$line"$'\\t\\x07'
  wait_for "end $((++n))"
  zpty -wn z $'\\x15'
done
zpty -d z`;
    return (questions) => {
      execFileSync('zsh', ['-f', '-c', driver, 'driver', ...questions.map((words) => words.map((word) => word.replaceAll(/[ $()]/g, '\\$&')).join(' '))], { cwd: at, encoding: 'utf8', timeout: 600_000, env: { ...process.env, OUT: `${at}/../out`, TERM: 'dumb' } });
      return readFileSync(`${at}/../out`, 'utf8').split(/^end \d+\n/m).slice(0, -1).map((text) => [...new Set(lines(text.replace(/^ready\n/, '')))]);
    };
  },
  fish({ at, from }) {
    writeFileSync(`${at}/../nestbox.fish`, fish(commands, from));
    return (questions) => questions.map((words) => lines(execFileSync('fish', ['--no-config', '-c', `source ${at}/../nestbox.fish; complete -C $argv[1]`, words.map((word) => word.replaceAll(/[ $()]/g, '\\$&')).join(' ')], { cwd: at, encoding: 'utf8', timeout: 120_000, env: { ...process.env, HOME: at } })).map((line) => line.split('\t')[0]!));
  },
};

/** The last word is the one that is completed. */
const expected: [words: string[], found: string[] | ((found: string[]) => boolean), why?: string][] = [
  [['nestbox', 'st'], ['start', 'status', 'stop']],
  [['nestbox', 'stop', ''], ['steam', 'studio', 'web-server']],
  [['nestbox', 'stop', 'steam', 'w'], ['web-server'], 'as many as one likes'],
  [['nestbox', 'status', 'steam', ''], (found) => found.every((word) => word.startsWith('-')), 'one machine alone'],
  [['nestbox', 'plan', 'm'], ['my machine.toml']],
  [['nestbox', 'plan', ''], (found) => found.includes('steam') && !found.some((name) => /notes|card/.test(name)), 'files that are no machine files are not offered'],
  [['nestbox', 'image', 'gr'], ['grow']],
  [['nestbox', 'image', 'grow', 'ca'], ['card.img']],
  [['nestbox', 'image', 'compress', '--as', ''], ['gz', 'xz', 'zst']],
  [['nestbox', 'logs', '-n', '20', 'we'], ['web-server'], 'the value of an option is not counted'],
  [['nestbox', 'logs', '--fo'], ['--follow']],
  [['nestbox', 'switch', 'h'], ['host']],
  [['nestbox', 'help', 'display.n'], ['display.nested']],
  [['nestbox', 'help', 'root.de'], ['root.debian']],
  [['nestbox', 'completion', 'z'], ['zsh']],
  [['nestbox', 'templates', ''], (found) => found.includes('debian-bookworm-00ff')],
  [['nestbox', 'why', 'steam', '/dev/nul'], (found) => found.some((name) => name.endsWith('null'))],
  [['nestbox', 'exec', 'steam', 'l'], (found) => found.includes('ls'), 'a program of the machine'],
  [['nestbox', 'exec', 'steam', 'ls', '--u'], [], 'whose options are its own'],
  [['nestbox', 'run', 'steam', '--', 'l'], (found) => found.includes('ls')],
];

for (const [shell, use] of Object.entries(shells)) {
  test(`${shell} completes commands, machines, files, options and the words of machine files`, { skip: !existsSync(`/usr/bin/${shell}`) && !existsSync(`/bin/${shell}`) && `${shell} is not installed` }, (t) => {
    const w = world(t);
    const answers = use(w)(expected.map(([words]) => words));
    assert.equal(answers.length, expected.length);
    for (const [i, [words, wanted, why]] of expected.entries()) {
      const found = answers[i]!.map((word) => word.replaceAll('\\', ''));
      if (typeof wanted === 'function') assert.ok(wanted(found), `${words.join(' ')}: ${why ?? ''} ${found.join(' ')}`);
      else assert.deepEqual(found, wanted, `${words.join(' ')}: ${why ?? ''}`);
    }
    assert.ok(!existsSync(`${w.at}/evil`), 'a name is never expanded');
  });
}

test('what is printed is that for this host, bash-completion finds it by the name of the command, and it starts no program', { skip: !existsSync('/usr/share/bash-completion/bash_completion') && 'bash-completion is not installed' }, (t) => {
  const at = folder(t);
  const { status, stdout } = nestbox(['completion', 'bash']);
  assert.equal(status, 0);
  assert.equal(stdout, bash(commands));
  mkdirSync(`${at}/bash-completion/completions`, { recursive: true });
  writeFileSync(`${at}/bash-completion/completions/nestbox`, stdout);
  const script = 'source /usr/share/bash-completion/bash_completion; _completion_loader nestbox; complete -p nestbox; PATH=; COMP_WORDS=(nestbox sc) COMP_CWORD=1; _nestbox; echo "${COMPREPLY[*]}"; COMP_WORDS=(nestbox stop "") COMP_CWORD=2; times; for i in {1..100}; do _nestbox; done; times';
  const said = execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8', env: { ...process.env, BASH_COMPLETION_USER_DIR: `${at}/bash-completion` } }).split('\n');
  assert.deepEqual(said.slice(0, 2), ['complete -F _nestbox nestbox', 'screenshot']);
  const [, before = 0, , after = 1] = said.slice(2).map((line) => line.split(' ').map((time) => Number.parseFloat(time.replace(/.*m/, ''))).reduce((sum, time) => sum + time, 0));
  assert.ok(after - before < 0.02, `no program is started for a machine's name: ${said.join('\n')}`); // a hundred take that on any computer; none takes nothing
  const { stderr } = nestbox(['completion', 'tcsh']);
  assert.equal(stderr, "nestbox: there is no completion for 'tcsh'\n  nestbox completion bash|zsh|fish\n");
});
