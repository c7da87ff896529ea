// An agent that calls tools as tasks, through the client of SDK 1.x, and does as tasks what it is asked. It reads {url, token, prefix} from stdin and writes what came of it to stdout; see tasks_test.go.
import { readFileSync } from 'node:fs';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks';
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const { url, token, prefix } = JSON.parse(readFileSync(0, 'utf8'));
const taskStore = new InMemoryTaskStore();
const client = new Client(
  { name: 'agent', version: '1' },
  { capabilities: { elicitation: { form: {} }, tasks: { list: {}, cancel: {}, requests: { elicitation: { create: {} } } } }, taskStore },
);
const asked = [];
client.setRequestHandler(ElicitRequestSchema, async (request, extra) => {
  const related = request.params._meta?.['io.modelcontextprotocol/related-task']?.taskId ?? '';
  asked.push({ related, asTask: Boolean(request.params.task) });
  const answer = { action: 'accept', content: { interpretation: 'historical', name: 'octocat' } };
  if (!request.params.task) return answer;
  const task = await extra.taskStore.createTask({ ttl: 60000, pollInterval: 10 });
  await extra.taskStore.storeTaskResult(task.taskId, 'completed', answer);
  return { task };
});
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }));

const text = (result) => result.content.map((part) => part.text ?? '').join('');
const research = (ambiguous) => ({ name: prefix + 'simulate-research-query', arguments: { topic: 'python', ambiguous } });

// asTask calls a tool as a task and follows it to its end.
async function asTask() {
  const seen = { id: '', statuses: [], text: '' };
  for await (const message of client.experimental.tasks.callToolStream(research(true), CallToolResultSchema)) {
    if (message.type === 'taskCreated') seen.id = message.task.taskId;
    if (message.type === 'taskStatus') seen.statuses.push(message.task.status);
    if (message.type === 'result') seen.text = text(message.result);
    if (message.type === 'error') seen.text = 'error: ' + message.error.message;
  }
  return seen;
}

// cancelled begins a task, cancels it, and asks what became of it.
async function cancelled() {
  for await (const message of client.experimental.tasks.callToolStream(research(false), CallToolResultSchema)) {
    if (message.type !== 'taskCreated') continue;
    const id = message.task.taskId;
    await client.experimental.tasks.cancelTask(id);
    return (await client.experimental.tasks.getTask(id)).status;
  }
}

const tools = (await client.listTools()).tools;
const [task, plain, gone, backward] = await Promise.all([
  asTask(),
  client.request({ method: 'tools/call', params: research(false) }, CallToolResultSchema).then(text),
  cancelled(),
  client.callTool({ name: prefix + 'trigger-elicitation-request-async', arguments: {} }).then(text),
]);
const listed = (await client.experimental.tasks.listTasks()).tasks.map((one) => one.taskId);
const again = text(await client.experimental.tasks.getTaskResult(task.id, CallToolResultSchema).catch((error) => ({ content: [{ text: String(error) }] })));
const support = tools.find((tool) => tool.name === prefix + 'simulate-research-query')?.execution?.taskSupport ?? '';
process.stdout.write(JSON.stringify({ capabilities: client.getServerCapabilities().tasks ?? null, support, task, plain, gone, backward, listed, again, asked }));
taskStore.cleanup(); // its timers would keep the process waiting
await client.close();
