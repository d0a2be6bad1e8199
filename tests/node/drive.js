// Drives a script under nbdebug with VS Code's own test client. Every message is printed, one to a
// line; a failure goes to stderr. Arguments: the client's folder, port, token, the script, its lines.
'use strict';
const assert = require('assert');

const [folder, port, token, path, lineTexts] = process.argv.slice(2);
const { DebugClient } = require(folder);
const lines = JSON.parse(lineTexts);
const source = { path };

class Client extends DebugClient {
  dispatch(body) {
    console.log(body);
    super.dispatch(body);
  }
}

const client = new Client('', '', 'python');

async function refused(promise) {
  await assert.rejects(promise);
}

// The place of the present stop, as the next `stopped` event tells it.
async function stoppedAt(reason, line, action) {
  await Promise.all([client.assertStoppedLocation(reason, { path, line }), action()]);
}

async function begin() {
  await client.start(Number(port));
  await refused(client.threadsRequest());
  const { body } = await client.initializeRequest();
  assert(body.supportsConfigurationDoneRequest && body.supportsLogPoints);
  await refused(client.attachRequest({ token: 'wrong' }));
  await Promise.all([client.waitForEvent('initialized'), client.attachRequest({ token })]);
  const set = await client.setBreakpointsRequest({ source, breakpoints: [{ line: lines.inside }] });
  assert.strictEqual(set.body.breakpoints[0].line, lines.inside);
  await client.setFunctionBreakpointsRequest({ breakpoints: [{ name: 'named' }] });
  await client.setExceptionBreakpointsRequest({ filters: [] });
  await client.customRequest('breakpointLocations', { source, line: 1, endLine: 3 });
  await stoppedAt('breakpoint', lines.inside, () => client.configurationDoneRequest());
}

async function look() {
  const { body } = await client.stackTraceRequest({ threadId: 1 });
  assert.deepStrictEqual(body.stackFrames.map((frame) => frame.name), ['inner', '<module>']);
  const frameId = body.stackFrames[0].id;
  const { body: { scopes } } = await client.scopesRequest({ frameId });
  const variablesReference = scopes[0].variablesReference;
  const { body: { variables } } = await client.variablesRequest({ variablesReference });
  assert.deepStrictEqual(variables.map((one) => [one.name, one.value]), [['n', '1']]);
  await client.setVariableRequest({ variablesReference, name: 'n', value: '5' });
  const { body: { result } } = await client.evaluateRequest({ expression: 'n + 1', frameId });
  assert.strictEqual(result, '6');
  await client.customRequest('setExpression', { expression: 'n', value: '7', frameId });
  await client.completionsRequest({ text: 'n', column: 2, frameId });
  await client.sourceRequest({ source, sourceReference: 0 });
  await client.modulesRequest({ startModule: 0, moduleCount: 2 });
  await client.customRequest('cancel', { requestId: 1 });
  await client.customRequest('loadedSources');
  await client.customRequest('stepInTargets', { frameId });
  const { body: called } = await client.evaluateRequest({ expression: 'inner', frameId });
  const locationReference = called.valueLocationReference;
  const { body: defined } = await client.customRequest('locations', { locationReference });
  assert.strictEqual(defined.line, lines.inside - 1);
  await refused(client.customRequest('exceptionInfo', { threadId: 1 }));
  const { body: { threads } } = await client.threadsRequest();
  assert.deepStrictEqual(threads.map((one) => one.id), [1]);
  await refused(client.evaluateRequest({ expression: '1/0', frameId }));
  await refused(client.scopesRequest({ frameId: 999 }));
}

async function jump(line) {
  const { body: { targets } } = await client.customRequest('gotoTargets', { source, line });
  const targetId = targets[0].id;
  await stoppedAt('goto', line, () => client.customRequest('goto', { threadId: 1, targetId }));
}

async function move() {
  await jump(lines.return);
  await jump(lines.inside);
  await stoppedAt('step', lines.return, () => client.nextRequest({ threadId: 1 }));
  await stoppedAt('step', lines.call, () => client.stepOutRequest({ threadId: 1 }));
  await stoppedAt('step', lines.second, () => client.nextRequest({ threadId: 1 }));
  await stoppedAt('function breakpoint', lines.named, () => client.stepInRequest({ threadId: 1 }));
  await Promise.all([client.waitForEvent('continued'), client.continueRequest({ threadId: 1 })]);
  const [{ body }] = await Promise.all([
    client.waitForEvent('stopped'), client.pauseRequest({ threadId: 1 }),
  ]);
  assert.strictEqual(body.reason, 'pause');
}

// Requests that nbdebug may know or not: each is answered, and the session lives on.
async function others() {
  const known = JSON.parse(process.env.OTHER_REQUESTS);
  for (const command of known) {
    await client.customRequest(command, {}).catch(() => undefined);
  }
  await client.threadsRequest();
}

async function end() {
  const ended = client.waitForEvent('terminated');
  await client.setBreakpointsRequest({ source, breakpoints: [] });
  await client.terminateRequest();
  const left = client.customRequest('disconnect').catch(() => undefined); // it may come too late
  await Promise.all([ended, Promise.race([left, ended])]);
}

begin().then(look).then(move).then(others).then(end).then(
  () => process.exit(0),
  (error) => {
    console.error(error.stack || error);
    process.exit(1);
  },
);
