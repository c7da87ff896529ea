// An agent that lists and calls through a client that others wrote. It reads {kind, token, visits, answers} from stdin and writes one outcome for each visit to stdout; see matrix_test.go for both.
import { readFileSync } from 'node:fs';

const { kind, token, visits, answers } = JSON.parse(readFileSync(0, 'utf8'));
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
const who = { name: 'agent', version: '1' };

// What servers ask, and what this agent answers where it is told to.
const capabilities = answers ? { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} } : {};
const replies = {
  'elicitation/create': ({ params }) => (params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: answers.form }),
  'sampling/createMessage': () => ({ role: 'assistant', model: 'm', content: { type: 'text', text: answers.sampling } }),
  'roots/list': () => ({ roots: [{ uri: answers.root }] }),
};

// connect returns a client that has connected, with the same call for both generations of the SDK.
async function connect(url) {
  if (kind === 'sdk') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client(who, { capabilities });
    if (answers) {
      const { ElicitRequestSchema, CreateMessageRequestSchema, ListRootsRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
      client.setRequestHandler(ElicitRequestSchema, replies['elicitation/create']);
      client.setRequestHandler(CreateMessageRequestSchema, replies['sampling/createMessage']);
      client.setRequestHandler(ListRootsRequestSchema, replies['roots/list']);
    }
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    return { client, call: (params, options) => client.callTool(params, undefined, options) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = kind === 'client-modern' ? { pin: '2026-07-28' } : 'legacy';
  const client = new Client(who, { versionNegotiation: { mode }, capabilities });
  if (answers) for (const [method, reply] of Object.entries(replies)) client.setRequestHandler(method, reply);
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return { client, call: (params, options) => client.callTool(params, options) };
}

async function visit({ url, calls }) {
  const outcome = { tools: [], calls: [], error: '' };
  let client;
  try {
    const connected = await connect(url);
    client = connected.client;
    outcome.tools = (await client.listTools()).tools.map((tool) => tool.name);
    for (const { name, arguments: args, progress } of calls) {
      const said = { text: '', progress: 0, error: '' };
      try {
        const options = progress ? { onprogress: () => said.progress++ } : undefined;
        const result = await connected.call({ name, arguments: args }, options);
        const text = result.content.map((part) => part.text ?? '').join('');
        said[result.isError ? 'error' : 'text'] = text;
      } catch (error) {
        said.error = String(error.message ?? error);
      }
      outcome.calls.push(said);
    }
  } catch (error) {
    outcome.error = String(error.stack ?? error);
  } finally {
    await client?.close();
  }
  return outcome;
}

const outcomes = [];
for (const one of visits) outcomes.push(await visit(one));
process.stdout.write(JSON.stringify(outcomes));
