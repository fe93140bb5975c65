// Calls fcnserve from a page of any origin that FCNSERVE_CORS_ORIGINS names.

const MOST_ATTEMPTS = 5;
const TRANSIENT = [429, 502, 503, 504];

export class ProblemError extends Error {
    constructor(problem, status) {
        super(`${problem.title}: ${problem.detail}`);
        this.code = problem.code;
        this.status = status;
    }
}

/**
 * Segments a photo, a Blob or File. `options` are the query parameters of POST /v1/segment.
 * Resolves to the Response, whose body is what `options.output` asks for.
 * Rejects with ProblemError, or with fetch's TypeError where no server answers this page.
 */
export async function segment(server, photo, options = {}, key = undefined) {
    const headers = { "Content-Type": "application/octet-stream" };
    if (key) headers.Authorization = `Bearer ${key}`;
    const url = `${server}/v1/segment?${new URLSearchParams(options)}`;
    for (let attempt = 1; ; attempt += 1) {
        const answer = await fetch(url, { method: "POST", headers, body: photo });
        if (answer.ok) return answer;
        if (!TRANSIENT.includes(answer.status) || attempt === MOST_ATTEMPTS) throw await problemOf(answer);
        await pause(answer, attempt);
    }
}

// A proxy before the server may answer without a problem document.
async function problemOf(answer) {
    const problem = await answer.json().catch(() => ({}));
    return new ProblemError({ title: `HTTP ${answer.status}`, detail: "no reason given", ...problem }, answer.status);
}

// Not before Retry-After, and then at a random time: pages that were refused together do not come back together.
function pause(answer, attempt) {
    const leastSeconds = Number(answer.headers.get("Retry-After")) || 0;
    const seconds = leastSeconds + Math.random() * 2 ** attempt / 4;
    return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}
