import { type Answer, type Chain, isInside, isLink, type Packet, type Rule, type Table, type Verdict } from '../firewall.ts';
import { splitWords } from '../words.ts';

/** What iptables-save(8) prints, as tables of rules (pure). Of its options those are understood that decide on whole links. */

export function readSaved(text: string, program: Table['program']): Table[] {
  const tables: Table[] = [];
  for (const line of text.split('\n')) {
    const chains = tables.at(-1)?.chains;
    const [, table] = /^\*(\S+)/.exec(line) ?? [];
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (table) tables.push({ program, name: table, chains: new Map() });
    else if (name) chains?.set(name, { name, rules: [], ...(name === 'FORWARD' && { policy: policy === 'DROP' ? 'drop' : 'accept' }) } satisfies Chain);
    else if (line.startsWith('-A ')) {
      const [, chain = '', ...words] = splitWords(line);
      chains?.get(chain)?.rules.push(ruleOf(words));
    }
  }
  return tables;
}

function ruleOf(words: readonly string[]): Rule {
  const asks: Rule['asks'] = [];
  let isNot = false;
  for (let i = 0; i < words.length; i++) {
    const [word = '', value = ''] = words.slice(i);
    if (word === '-j' || word === '-g') return { asks, verdict: verdictOf(word, value) };
    if (word === '!') isNot = true;
    else if (word.startsWith('-')) {
      const [ask, denied] = [askOf(word, value), isNot];
      if (ask) asks.push((packet) => not(ask(packet), denied));
      isNot = false;
      if (valued.test(word)) i++; // a comment may look like an option
    }
  }
  return { asks, verdict: null };
}

const valued = /^(-[miosdp]|--(comment|ctstate|ctstatus|state))$/;

const not = (answer: Answer, isNot: boolean): Answer => (answer === null ? null : answer !== isNot);

/** null: it asks nothing. */
function askOf(option: string, value: string): ((packet: Packet) => Answer) | null {
  switch (option) {
    case '-m': case '--comment': return null; // what a match asks comes in options of its own
    case '-i': return (packet) => isLink(packet.in, value, '+');
    case '-o': return (packet) => isLink(packet.out, value, '+');
    case '-s': return (packet) => isInside(packet.from, value);
    case '-d': return (packet) => isInside(packet.to, value);
    case '-p': return () => value === 'tcp' || value === 'all'; // most of what goes out, and by which the rest is found
    case '--ctstate': case '--state': return (packet) => value.toLowerCase().split(',').includes(packet.state);
    case '--ctstatus': return () => (value === 'DNAT' ? false : null); // it has gone out, or is an answer to what has
    default: return () => null;
  }
}

/** What other targets do, a packet outlives. */
function verdictOf(option: string, target: string): Verdict | null {
  switch (target) {
    case 'ACCEPT': case 'NFQUEUE': case 'QUEUE': return { is: 'accept' };
    case 'DROP': case 'REJECT': return { is: 'drop' };
    case 'RETURN': return { is: 'return' };
    default: return { is: option === '-g' ? 'goto' : 'jump', chain: target };
  }
}
