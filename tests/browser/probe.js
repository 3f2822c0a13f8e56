// Measures a page as it is laid out: what sticks out, how large text is, how it contrasts with what is behind it.
(() => {
  const numbers = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const seen = (colour) => { const part = numbers(colour); return part.length >= 3 && (part[3] === undefined || part[3] === 1); };
  const light = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const ground = at.localName === "svg" && at.querySelector(":scope > rect.ground");
      if (ground) return getComputedStyle(ground).fill;
      const colour = getComputedStyle(at).backgroundColor;
      if (seen(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const width = document.documentElement.clientWidth;
  const texts = [...document.body.querySelectorAll("*")].filter((element) =>
    !["SCRIPT", "STYLE", "title", "desc"].includes(element.nodeName) && element.getClientRects().length &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const measured = texts.map((element) => {
    const style = getComputedStyle(element), svg = element.closest("svg");
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return {
      text: element.textContent.trim().slice(0, 60),
      contrast: contrast(svg ? style.fill : style.color, behind(element)),
      pixels: parseFloat(style.fontSize) * scale,
      picture: Boolean(svg),
    };
  });
  const box = (element) => element.getBoundingClientRect();
  const out = [...document.body.querySelectorAll("*")].filter((element) =>
    box(element).right > width + 1 && !element.closest(".wide") && !element.closest("svg"));
  const labels = [...document.querySelectorAll("svg text")].filter((element) => element.getClientRects().length);
  const cut = labels.filter((element) => {
    const inner = box(element), outer = box(element.closest("svg"));
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
  });
  const touching = labels.flatMap((one, place) => labels.slice(place + 1).filter((other) => {
    const a = box(one), b = box(other), gap = 1;
    return a.left < b.right - gap && b.left < a.right - gap && a.top + a.height * 0.2 < b.bottom - b.height * 0.2 && b.top + b.height * 0.2 < a.bottom - a.height * 0.2;
  }).map((other) => `${one.textContent} / ${other.textContent}`));
  const result = document.createElement("pre");
  result.id = "probe";
  result.textContent = JSON.stringify({
    width: innerWidth,
    page: getComputedStyle(document.body).backgroundColor,
    scrolls: document.documentElement.scrollWidth > width,
    out: out.map((element) => element.outerHTML.slice(0, 80)),
    cut: cut.map((element) => element.textContent),
    touching,
    texts: measured,
  });
  document.body.append(result);
})();
