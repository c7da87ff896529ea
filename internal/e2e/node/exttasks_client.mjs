// An agent of the second generation that calls tools as tasks in the words of the extension. It reads {url, token, prefix} from stdin and writes what came of it to stdout; see exttasks_test.go.
import { readFileSync } from 'node:fs';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';
import { taskSession } from './exttasks.mjs';

const { url, token, prefix } = JSON.parse(readFileSync(0, 'utf8'));
const who = { name: 'agent', version: '1' };
const capabilities = { elicitation: { form: {} } };
const client = new Client(who, { capabilities, versionNegotiation: { mode: { pin: '2026-07-28' } } });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }));

const asked = [];
const onInputRequest = (request, context) => {
  asked.push({ kind: request.kind, message: request.params.message, task: context.taskId });
  return { action: 'accept', content: { interpretation: 'historical' } };
};
const session = taskSession(client, { url, token, modern: true, who, capabilities, onInputRequest });
const tool = prefix + 'simulate-research-query';

// asTask calls a tool and follows its task to the end.
async function asTask(ambiguous) {
  const execution = await session.callTool(tool, { topic: 'python', ambiguous });
  const seen = { kind: execution.kind, id: execution.handle?.taskId ?? '', statuses: [], text: '' };
  const { outcome } = await execution.settle({ onEvent: (event) => event.type === 'task' && seen.statuses.push(event.task.status) });
  seen.text = resultFromTaskOutcome(outcome).content.map((part) => part.text ?? '').join('');
  return seen;
}

// cancelled begins a task, cancels it, and asks what became of it.
async function cancelled() {
  const execution = await session.callTool(tool, { topic: 'python', ambiguous: false });
  await execution.cancel();
  return (await session.task(execution.handle.taskId).snapshot()).status;
}

const [task, quiet, gone] = await Promise.all([asTask(true), asTask(false), cancelled()]);
const again = await session.task(task.id).snapshot();
await session.close();
const plain = await client.callTool({ name: tool, arguments: { topic: 'python', ambiguous: false } });
process.stdout.write(JSON.stringify({
  extensions: client.getServerCapabilities().extensions ?? null, task, quiet, gone, again: again.status, asked, plain: plain.content.map((part) => part.text ?? '').join(''),
}));
await client.close();
