// Tasks for the second generation of clients, which has none by itself: the package of the extension speaks of them as the era does. See client.mjs and exttasks_client.mjs.
import { createTaskSessionFromClient } from '@modelcontextprotocol/ext-tasks/client';

// taskSession is a session in which tools are called as tasks. In the modern era the package leaves it to its host to send what the client's own types do not know.
export function taskSession(client, { url, token, modern, who, capabilities, onInputRequest }) {
  if (!modern) return createTaskSessionFromClient(client, { endpointId: url, onInputRequest });
  let last = 0;
  const rawDispatch = async (request, options = {}) => {
    const id = `raw-${++last}`;
    const name = request.params.name ?? request.params.taskId;
    const headers = {
      'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
      'Mcp-Protocol-Version': '2026-07-28', 'Mcp-Method': request.method, 'Mcp-Name': name,
    };
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', id, ...request }), signal: options.signal });
    const text = await response.text();
    const streamed = response.headers.get('content-type')?.startsWith('text/event-stream');
    const messages = streamed ? text.split('\n').filter((line) => line.startsWith('data:')).map((line) => JSON.parse(line.slice(5))) : [JSON.parse(text)];
    const answer = messages.find((message) => message.id === id);
    return answer.error ? { kind: 'error', error: answer.error } : { kind: 'result', result: answer.result };
  };
  const v2RequestFraming = { protocolVersion: '2026-07-28', clientInfo: who, clientCapabilities: capabilities };
  return createTaskSessionFromClient(client, { endpointId: url, rawDispatch, v2RequestFraming, onInputRequest });
}
