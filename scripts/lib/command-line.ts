/** What the commands have in common: progress on stderr, and errors that tell what to do. */
import { isAbortError, isTramontaneError } from '../../src/base/errors.ts';
import type { Progress } from '../../src/engine/api.ts';

const UNITS = ['B', 'KB', 'MB', 'GB'];

export function formatBytes(byteLength: number): string {
  let value = byteLength;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${UNITS[unit]}`;
}

/** Shows progress on one line of a terminal, or a line per phase where stderr is a file. */
export function createProgressLine(): { show(progress: Progress): void; end(): void } {
  const isTerminal = process.stderr.isTTY === true;
  let phase = '';
  return {
    show(progress) {
      const { bytes, totalBytes, bytesPerSecond, etaMs } = progress;
      const share = totalBytes === 0 ? 100 : Math.floor((bytes / totalBytes) * 100);
      const counts =
        progress.phase === 'compile'
          ? `${bytes} of ${totalBytes} kernels`
          : `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
      const speed = bytesPerSecond > 0 ? ` · ${formatBytes(bytesPerSecond)}/s` : '';
      const eta = etaMs !== null && etaMs > 1000 ? ` · ${Math.round(etaMs / 1000)} s left` : '';
      if (isTerminal) process.stderr.write(`\r\u001b[K${progress.phase} ${share}% · ${counts}${speed}${eta}`);
      else if (progress.phase !== phase) process.stderr.write(`${progress.phase} …\n`);
      phase = progress.phase;
    },
    end() {
      if (isTerminal && phase !== '') process.stderr.write('\r\u001b[K');
      phase = '';
    },
  };
}

/** A second interruption, later than this after the first, is for whoever does not want to wait for what is left. */
const INTERRUPTION_MS = 1000;

/** Runs a command's main function; prints what went wrong and what to do, and exits with 1 (130 when interrupted). */
export async function runCommand(main: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController();
  // Standard output belongs to the command's answer; WebLLM in Node logs there.
  console.log = console.error;
  let interruptedAt = 0;
  process.on('SIGINT', () => {
    // A terminal interrupts npm, tsx and this process, and the first two pass it on: that is one interruption.
    if (interrupted.signal.aborted && performance.now() - interruptedAt > INTERRUPTION_MS) process.exit(130);
    if (!interrupted.signal.aborted) interruptedAt = performance.now();
    interrupted.abort(new DOMException('Interrupted.', 'AbortError'));
  });
  try {
    await main(interrupted.signal);
    // A command that has no error to tell of may still have set another code.
    process.exitCode ??= 0;
  } catch (error) {
    process.exitCode = interrupted.signal.aborted ? 130 : 1;
    if (
      error instanceof UsageError ||
      (error as { code?: unknown }).code?.toString().startsWith('ERR_PARSE_ARGS')
    ) {
      process.exitCode = 2;
      process.stderr.write(`${(error as Error).message}\nTry --help.\n`);
    } else if (interrupted.signal.aborted || isAbortError(error)) {
      process.stderr.write('\nInterrupted.\n');
    } else if (isTramontaneError(error)) {
      process.stderr.write(`\nError (${error.code}): ${error.message}\n`);
      if (error.nextStep !== null) process.stderr.write(`${error.nextStep}\n`);
    } else {
      process.stderr.write(
        `\nError: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
    }
  }
  // Browsers and GPU drivers may leave handles behind.
  process.exit();
}

/** A mistake in how a command was called. */
export class UsageError extends Error {
  override name = 'UsageError';
}
