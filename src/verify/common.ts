import type { Attempt, Subject } from '../verify.ts';

/** What one file of this folder is: the tries of one group. */
export type Tries = (subject: Subject) => Omit<Attempt, 'group'>[];

/** FILE:LINE of what has asked, by the key of the machine file such as display.nested; 'default' where nothing has. */
export const keyed = ({ place }: Subject, key: string | readonly (string | number)[] | undefined): string => (key === undefined || key.length === 0 ? 'default' : place(typeof key === 'string' ? key.split('.') : key));

/** The same of the first of these keys that something has asked by. */
export const firstKeyed = (subject: Subject, keys: readonly (readonly string[])[]): string => keys.map((key) => keyed(subject, key)).find((one) => one !== 'default') ?? 'default';

/** Root inside is root of the host, and has its rights over mounts: systemd-nspawn and LXC leave CAP_SYS_ADMIN, and audit says so. */
export const isHostRoot = ({ machine: { shift } }: Subject): boolean => shift === 0;
