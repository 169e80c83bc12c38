import hooks from 'node:async_hooks';

/**
 * node:test looks at every promise, to tell which test it is of: for tests that begin others without being asked, and for errors that nobody waits for. Here no test does the first, and the laws
 * make promises by the million: to look at them takes longer than all else. An error that nobody waits for is printed, and fails the file in the place of the test.
 */
Object.assign(hooks, { createHook: () => ({ enable: () => {}, disable: () => {} }) });

process.on('uncaughtExceptionMonitor', (error) => console.error(error));
process.on('unhandledRejection', (error) => {
  console.error(error);
  process.exitCode = 1;
});
