# Makes a page of the handbook from Markdown: headings, paragraphs, lists and links.

function inline(text,   name, target) {
	while (match(text, /\[[^]]*\]\([^)]*\)/)) {
		name = target = substr(text, RSTART + 1, RLENGTH - 2)
		sub(/\]\(.*/, "", name)
		sub(/.*\]\(/, "", target)
		sub(/\.md$/, ".html", target)
		text = substr(text, 1, RSTART - 1) "<a href=\"" target "\">" name "</a>" substr(text, RSTART + RLENGTH)
	}
	return text
}

function close_list() {
	if (list) print "</ul>"
	list = 0
}

BEGIN { print "<!doctype html>" }
/^# / { title = substr($0, 3); print "<title>" title "</title>"; print "<h1>" title "</h1>"; next }
/^- / { if (!list) print "<ul>"; list = 1; print "<li>" inline(substr($0, 3)) "</li>"; next }
/^$/ { close_list(); next }
{ close_list(); print "<p>" inline($0) "</p>" }
END { close_list() }
