"""The page for people at `/`: its files in `static/`, which are ES modules and CSS without a build
step, and the routes that serve them. `index.html` names the others as `page/NAME`, relative to `/`,
so that all of it works below a path prefix of a proxy.
"""
