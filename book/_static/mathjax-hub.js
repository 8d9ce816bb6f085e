// The widgets call MathJax 2's queue; under MathJax 3 there is nothing to do.
window.MathJax && !window.MathJax.Hub && (window.MathJax.Hub = { Queue() {} });
