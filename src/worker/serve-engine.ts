/** The worker's side of the protocol: runs what it is asked on an engine. */
import { unreachable } from '../base/assert.ts';
import { fromWireError, TramontaneError, toWireError } from '../base/errors.ts';
import type { ChatChunk, Engine, Progress } from '../engine/api.ts';
import type { Calls, ClientMessage, Endpoint, WorkerMessage } from './protocol.ts';

type Call = Extract<ClientMessage, { kind: 'call' }>;

/** Serves `engine` to whoever is at the other end. A message that is not of the protocol gets an error, if it has an id. */
export function serveEngine(engine: Engine, endpoint: Endpoint<ClientMessage, WorkerMessage>): void {
  const running = new Map<number, AbortController>();
  const streams = new Map<number, AsyncIterator<ChatChunk>>();
  let announced = engine.getLoadedModel();

  const send = (message: WorkerMessage) => endpoint.postMessage(message);
  const announceModel = () => {
    const model = engine.getLoadedModel();
    if (model === announced) return;
    announced = model;
    send({ kind: 'model', model });
  };
  const finish = (id: number) => {
    running.delete(id);
    streams.delete(id);
    announceModel();
  };

  const runCall = async (call: Call, signal: AbortSignal) => {
    try {
      const onProgress = (progress: Progress) => send({ kind: 'progress', id: call.id, progress });
      const output = await dispatch(engine, call, signal, onProgress);
      finish(call.id);
      send({ kind: 'result', id: call.id, output });
    } catch (error) {
      finish(call.id);
      send({ kind: 'error', id: call.id, error: toWireError(error) });
    }
  };

  const pull = async (id: number) => {
    const stream = streams.get(id);
    // A pull may cross the end of its stream on the way.
    if (stream === undefined) return;
    try {
      const next = await stream.next();
      if (next.done === true) {
        finish(id);
        send({ kind: 'end', id });
      } else {
        send({ kind: 'chunk', id, chunk: next.value });
      }
    } catch (error) {
      finish(id);
      send({ kind: 'error', id, error: toWireError(error) });
    }
  };

  endpoint.addEventListener('message', ({ data }) => {
    switch (data.kind) {
      case 'call': {
        const controller = new AbortController();
        running.set(data.id, controller);
        void runCall(data, controller.signal);
        return;
      }
      case 'stream': {
        const controller = new AbortController();
        running.set(data.id, controller);
        const { signal } = controller;
        streams.set(data.id, engine.streamChat(data.request, { signal })[Symbol.asyncIterator]());
        return;
      }
      case 'pull':
        void pull(data.id);
        return;
      case 'abort':
        running.get(data.id)?.abort(fromWireError(data.reason));
        return;
      default: {
        const unknown = data as { id?: unknown };
        const error = new TramontaneError('protocol-invalid', 'The worker got a message it does not know.', {
          nextStep: 'Reload the page: it and its worker are of different versions.',
        });
        if (typeof unknown.id === 'number')
          send({ kind: 'error', id: unknown.id, error: toWireError(error) });
      }
    }
  });
  send({ kind: 'ready' });
}

async function dispatch(
  engine: Engine,
  call: Call,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Calls[Call['name']]['output']> {
  switch (call.name) {
    case 'getAdapter':
      return engine.getAdapter({ signal });
    case 'loadModel':
      return engine.loadModel(call.input.source, { ...call.input.options, signal, onProgress });
    case 'unloadModel':
      await engine.unloadModel();
      return null;
    case 'score':
      return engine.score(call.input, { signal });
    case 'tokenizeChat':
      return engine.tokenizeChat(call.input, { signal });
    case 'deleteModel':
      await engine.deleteModel(call.input);
      return null;
    case 'listStoredModels':
      return engine.listStoredModels();
    case 'dispose':
      await engine.dispose();
      return null;
    default:
      return unreachable(call);
  }
}
