/** What `read` gives, or else this where it throws: for files of the kernel and of others, which are absent on one host and go while they are read on the next. */
export const attempt = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch {
    return otherwise;
  }
};
