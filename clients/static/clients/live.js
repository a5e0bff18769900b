"use strict";
// Follows an import without reloading its page. Everything works without this script, by a link.

const SECOND = 1000;

async function fetchJson(url) {
    const answer = await fetch(url, {headers: {Accept: "application/json"}});
    if (!answer.ok) throw new Error(answer.status);
    return answer.json();
}

// The run's page as it is now, in place of what it was.
async function renew() {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("run").replaceWith(page.getElementById("run"));
}

function follow(box) {
    const bar = box.querySelector("progress");
    const text = box.querySelector("[role=status]");
    const look = async () => {
        try {
            const now = await fetchJson(box.dataset.progress);
            if (!now.working) return renew();
            if (now.percent === null) bar.removeAttribute("value");
            else bar.value = now.percent;
            if (text.textContent !== now.text) text.textContent = now.text;
        } catch {
            // The next look may fare better.
        }
        setTimeout(look, SECOND);
    };
    look();
}

function waitForRun() {
    const look = async () => {
        try {
            const {url} = await fetchJson(location.href);
            if (url) return location.replace(url);
        } catch {
            // The next look may fare better.
        }
        setTimeout(look, SECOND);
    };
    look();
}

const box = document.querySelector("[data-progress]");
if (box) follow(box);
if (document.querySelector("[data-wait-for-run]")) waitForRun();
