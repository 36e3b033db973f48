package funcs

import (
	"path"
)

// Paths are written with slashes on every system, as in a Dockerfile.
var pathRows = []row{
	{Func: Func{
		Name: "basename", Func: stringMap(path.Base), Group: GroupFile, Params: []string{"path"},
		Doc:     "Gives the last part of a path.",
		Example: `basename("conf/nginx.conf")`, Result: `"nginx.conf"`,
	}},
	{Func: Func{
		Name: "dirname", Func: stringMap(path.Dir), Group: GroupFile, Params: []string{"path"},
		Doc:     "Gives a path without its last part.",
		Example: `dirname("conf/nginx.conf")`, Result: `"conf"`,
	}},
}
