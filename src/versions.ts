/** Versions of Debian packages, as deb-version(7) compares them; those of other distributions compare well enough. */

/** Whether `a` comes before `b`. Epochs are not told apart from the rest. */
export function isOlder(a: string, b: string): boolean {
  const split = (text: string) => text.match(/\d+|[^\d]+/g) ?? [];
  const [left, right] = [split(a), split(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [one = '', other = ''] = [left[i], right[i]];
    if (one === other) continue;
    if (/^\d/.test(one) && /^\d/.test(other)) {
      if (Number(one) !== Number(other)) return Number(one) < Number(other);
      continue;
    }
    return order(one) < order(other);
  }
  return false;
}

/** A tilde is before everything, even the end; letters are before other signs. */
const order = (text: string): string => [...text, ''].map((c) => (c === '~' ? '0' : c === '' ? '1' : /[A-Za-z]/.test(c) ? `2${c}` : `3${c}`)).join('');
