import { commands, help as helpOf, usage } from '../cli.ts';
import { Complaint } from '../errors.ts';
import { meaning } from '../meaning.ts';
import { words } from '../completion/words.ts';
import { nearest } from '../words.ts';

/** Tells the options of a command, or what a word of the machine file means. */
export default async function help([word, ...more]: string[]): Promise<number> {
  if (more.length > 0) throw new Complaint('one word at a time', 'nestbox help COMMAND|TOPIC|TOPIC.KIND');
  if (word === undefined) return show(usage());
  if (Object.hasOwn(commands, word)) return show(helpOf(word, commands[word]!));
  const text = meaning(word);
  if (text === null) {
    const meant = nearest(word, [...Object.keys(commands), ...words()]);
    throw new Complaint(`there is no command and no word of the machine file '${word}'`, meant ? `did you mean '${meant}'?` : 'nestbox --help lists the commands, nestbox.toml(5) has all words');
  }
  return show(text);
}

function show(text: string): number {
  process.stdout.write(text);
  return 0;
}
