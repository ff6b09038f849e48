/** Runs a program of scripts/ as a person's call of it would, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { ROOT } from '../../scripts/lib/up-to-date.ts';

export interface ScriptOutput {
  stdout: string;
  stderr: string;
}

export interface ScriptOutcome extends ScriptOutput {
  /** Null where a signal ended it. */
  code: number | null;
}

export interface ScriptOptions {
  /** On top of this process's own. */
  env?: Record<string, string>;
  /** Sees all output so far, whenever there is more. */
  onOutput?(output: Readonly<ScriptOutput>, child: ChildProcess): void;
}

/** @param name file under scripts/; what is no plain JavaScript runs under tsx, as package.json has it */
export function runScript(
  name: string,
  args: readonly string[],
  { env = {}, onOutput = () => undefined }: ScriptOptions = {},
): Promise<ScriptOutcome> {
  const loader = name.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const child = spawn(process.execPath, [...loader, `scripts/${name}`, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
      onOutput(output, child);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...output, code }));
  });
}

/** Ctrl-C in a terminal, which interrupts npm too; npm passes it on. */
export function interrupt(child: ChildProcess): void {
  child.kill('SIGINT');
  child.kill('SIGINT');
}
