"use strict";
/* Opens cells, filters and moves. The page is whole without it; it writes no markup. */
(() => {
	const by = id => document.getElementById(id);
	const grid = by("grid"), cases = by("cases"), form = by("filters"), sheet = document.styleSheets[0];
	const heads = grid.tHead.rows[1].cells;
	const names = {};		/* an environment's name by its number */
	for (const row of document.querySelectorAll("#environments tr[data-e]"))
		names[row.dataset.e] = row.id.slice(1);
	const numbers = Object.fromEntries(Object.entries(names).map(([n, name]) => [name, n]));
	const first = index => names[heads[index].dataset.e.split(" ")[0]];
	let open = "", chosen = null, current = null, cameFrom = null;

	/* The fragment: CASE, or CASE@ENVIRONMENT, and then the filters. */
	function read() {
		const [place, ...rest] = location.hash.slice(1).split("&");
		let target = place;
		try { target = decodeURIComponent(place); } catch { /* no escape of ours */ }
		return [target, new URLSearchParams(rest.join("&"))];
	}
	function write(target, filters, how = "pushState") {
		const place = encodeURIComponent(target).replace(/%40/g, "@").replace(/%3A/g, ":");
		const query = filters.toString();
		const hash = place + (query ? "&" + query : "");
		if (hash !== location.hash.slice(1))
			history[how](null, "", hash ? "#" + hash : location.pathname + location.search);
		apply();
	}
	function filters() {
		const wanted = new URLSearchParams();
		if (form.failing.checked)
			wanted.set("failing", "1");
		for (const name of ["case", "env", "family"])
			if (form[name].value)
				wanted.set(name, form[name].value);
		return wanted;
	}

	function filter(wanted) {
		const text = (wanted.get("case") || "").toLowerCase(), family = wanted.get("family") || "";
		const failing = wanted.has("failing"), env = (wanted.get("env") || "").toLowerCase();
		form.failing.checked = failing;
		form.case.value = wanted.get("case") || "";
		form.env.value = wanted.get("env") || "";
		form.family.value = family;
		grid.classList.toggle("found", Boolean(text || failing));
		let shown = 0;
		for (const body of grid.tBodies) {
			body.hidden = (family && body.dataset.f !== family) || (failing && !body.classList.contains("bad"));
			for (const row of body.rows) {
				if (row.classList.contains("all"))
					continue;
				row.hidden = Boolean(text) && !row.cells[0].textContent.includes(text);
				shown += !row.hidden && !body.hidden;
			}
		}
		while (sheet.cssRules[0].selectorText?.startsWith("#grid tr > :nth-child"))
			sheet.deleteRule(0);
		let columns = 0;
		for (let index = 1; index < heads.length; index++) {
			const own = heads[index].dataset.e.split(" ");
			if (own.some(n => names[n].toLowerCase().includes(env)))
				columns += own.filter(n => names[n].toLowerCase().includes(env)).length;
			else
				sheet.insertRule(`#grid tr > :nth-child(${index + 1}) { display: none }`, 0);
		}
		const many = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
		form.count.value = [...wanted].length ?
			`${many(shown, "case")} on ${many(columns, "environment")}` : "";
	}

	function show(target) {
		const [id, ...more] = target.split("@"), name = more.join("@");
		const article = id && by(id);
		if (open)
			by(open).classList.remove("on");
		chosen?.classList.remove("chosen");
		const found = article?.tagName === "ARTICLE";
		cases.classList.toggle("open", found);
		document.documentElement.classList.toggle("reading", found);
		open = found ? id : "";
		if (!found)
			return;
		article.classList.add("on");
		cases.scrollTop = 0;
		for (const outcome of article.getElementsByClassName("o")) {
			const here = name && outcome.dataset.e.split(" ").includes(numbers[name]);
			outcome.classList.toggle("on", Boolean(here));
			const details = outcome.firstElementChild;
			if (here && details.tagName === "DETAILS")
				details.open = true;
			if (here)
				cases.scrollTop = outcome.offsetTop - article.querySelector("h3").offsetHeight - 8;
		}
		cases.focus({preventScroll: true});
		mark(id, name);
	}
	/* Show which cell is open, and open the fold that it is in. */
	function mark(id, name) {
		const row = grid.querySelector(`th > a[href="#${CSS.escape(id)}"]`)?.closest("tr") ||
			[...grid.querySelectorAll("tbody th > a")].find(a => a.textContent === id)?.closest("tr");
		const index = [...heads].findIndex(h => h.dataset.e?.split(" ").includes(numbers[name]));
		if (!row)
			return;
		const fold = row.parentElement.querySelector("input");
		if (fold)
			fold.checked = true;
		chosen = index > 0 ? row.cells[index] : row.cells[0];
		chosen.classList.add("chosen");
		grid.parentElement.scrollIntoView({block: "nearest"});
		chosen.scrollIntoView({block: "nearest", inline: "nearest"});
	}
	function apply() {
		const [target, wanted] = read();
		filter(wanted);
		show(target);
		if (!open && target)
			by(target)?.scrollIntoView();
	}

	/* The cell at the keys: it gets the focus only when a key moves there. */
	function move(down, right) {
		const rows = [...grid.querySelectorAll("tbody tr")].filter(row => row.offsetParent);
		const row = current?.isConnected && current.offsetParent ? rows.indexOf(current.parentElement) : -1;
		const to = rows[Math.min(rows.length - 1, Math.max(0, row + down))];
		let index = Math.max(0, (current ? current.cellIndex : 0) + right);
		while (to?.cells[index] && !to.cells[index].offsetParent && index > 0)
			index += right || -1;
		const cell = to?.cells[Math.min(index, to.cells.length - 1)];
		if (!cell)
			return;
		current = cell;
		cell.tabIndex = -1;
		cell.focus();
		cell.scrollIntoView({block: "nearest", inline: "nearest"});
	}
	function enter(cell) {
		const row = cell.parentElement, box = row.querySelector("input");
		if (box)
			box.checked = !box.checked;
		else
			write(row.cells[0].textContent + (cell.cellIndex ? "@" + first(cell.cellIndex) : ""), filters());
	}
	function close() {
		write("", filters());
		(cameFrom?.isConnected ? cameFrom : grid).focus();
	}

	grid.addEventListener("click", event => {
		const cell = event.target.closest("tbody td, tbody th");
		if (!cell || event.target.closest("label") || event.ctrlKey || event.metaKey || event.shiftKey)
			return;
		event.preventDefault();
		current = cameFrom = cell;
		enter(cell);
	});
	const moves = {ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
		PageDown: [20, 0], PageUp: [-20, 0]};
	grid.addEventListener("keydown", event => {
		const cell = event.target.closest("td, th");
		if (moves[event.key]) {
			event.preventDefault();
			move(...moves[event.key]);
		} else if (event.key === "Enter" && cell && event.target === cell) {
			cameFrom = cell;
			enter(cell);
		}
	});
	document.addEventListener("keydown", event => {
		if (event.key === "Escape" && open)
			close();
	});
	/* A link to a case or a place keeps the filters. */
	document.addEventListener("click", event => {
		const to = event.target.closest?.("a[href^='#']");
		if (!to || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey)
			return;
		event.preventDefault();
		let target = to.getAttribute("href").slice(1);
		try { target = decodeURIComponent(target); } catch { /* as it is */ }
		cameFrom = to;
		write(target, filters());
	});
	form.addEventListener("input", () => write(read()[0], filters(), "replaceState"));
	form.addEventListener("submit", event => event.preventDefault());
	by("close").addEventListener("click", close);
	addEventListener("popstate", apply);
	addEventListener("hashchange", apply);

	document.documentElement.classList.add("script");
	form.hidden = by("bar").hidden = false;
	cases.tabIndex = -1;
	apply();
})();
