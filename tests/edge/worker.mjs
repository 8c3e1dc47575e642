// Does to its KV namespace what a request's JSON says, and answers what it got or the error that it was thrown.
export default {
  async fetch(request, env) {
    const { call, args } = await request.json();
    try {
      let result = await env.KV[call](...args);
      if (result instanceof Map) result = Object.fromEntries(result);
      return Response.json({ result: result ?? null });
    } catch (error) {
      return Response.json({ thrown: String(error) });
    }
  },
};
