package diag

// The codes of the front end, in ranges: HB1 how files are written, HB2 names
// and references, HB3 values, HB6 the command line, HB7 warnings. The lowering
// (HB4) and the emitter (HB5) keep theirs beside their code. Each is documented,
// with an example that a test runs, in catalogue/CODE.txt.
const (
	// How files are written.
	Syntax            Code = "HB1001" // HCL syntax error
	ShellInTemplate   Code = "HB1002" // ${X:-y}, %{…}: shell text that HCL reads as a template
	UnknownBlock      Code = "HB1003"
	UnknownAttribute  Code = "HB1004"
	MissingAttribute  Code = "HB1005"
	WrongLabels       Code = "HB1006" // a block with too many or too few labels
	BadName           Code = "HB1007" // a name that is not [A-Za-z][A-Za-z0-9_-]*
	Duplicate         Code = "HB1008" // a name declared twice
	NotUTF8           Code = "HB1009"
	NoModule          Code = "HB1010" // no hbuild.hcl here
	ReservedBlock     Code = "HB1011" // a block kept for later
	DuplicateKey      Code = "HB1013" // a key given twice in a literal object
	OverrideUnknown   Code = "HB1014" // an override of what does not exist
	RepeatedBlock     Code = "HB1015" // a block that may stand once
	ConflictingAttrs  Code = "HB1016" // two attributes of which one may be set
	TopLevelAttribute Code = "HB1017" // an attribute outside of any block
	UnreadableFile    Code = "HB1018"
	UnclosedBlock     Code = "HB1019" // a brace, bracket or heredoc never closed
	ShellVariable     Code = "HB1020" // ${HOME}: HCL interpolation where the shell's was meant
	WrongQuotes       Code = "HB1021" // 'text', “text”, or a text without quotes
	ColonForEquals    Code = "HB1022" // name: value in a block
	MissingComma      Code = "HB1023"
	MissingEquals     Code = "HB1024"
	OneLineBlock      Code = "HB1025" // a block on one line with several attributes
	StrayBrace        Code = "HB1026" // a closing brace without an opening one
	UnclosedString    Code = "HB1027"

	// Names and references.
	UnknownRoot        Code = "HB2001" // foo.bar where foo is no kind of object
	UnknownVariable    Code = "HB2002"
	UnknownLocal       Code = "HB2003"
	UnknownStage       Code = "HB2004"
	UnknownArtifact    Code = "HB2005"
	UnknownContext     Code = "HB2006"
	UnknownCache       Code = "HB2007"
	UnknownSecret      Code = "HB2008"
	UnknownSSH         Code = "HB2009"
	UnknownTarget      Code = "HB2010"
	UnknownGroup       Code = "HB2011"
	UnknownFunction    Code = "HB2012"
	UnknownKey         Code = "HB2013" // an instance that a for_each does not have
	Cycle              Code = "HB2014"
	AttributeOfBuild   Code = "HB2015" // stage.x.workdir
	MissingKey         Code = "HB2016" // stage.svc where one instance is needed
	ScopeReference     Code = "HB2017" // each, matrix or platform.target where there is none
	WholeObject        Code = "HB2018" // `stage` or `var` alone
	DisabledReference  Code = "HB2019" // a value is needed and the block is disabled
	UnknownBuiltinAttr Code = "HB2020" // platform.foo, git.foo
	ReservedName       Code = "HB2021" // a stage called scratch, a function called like a built-in
	UnknownAddress     Code = "HB2022" // an address on the command line
	UndeclaredVar      Code = "HB2023" // --var or a vars file for a variable that is not declared
	PlatformDecides    Code = "HB2024" // platform.target in tags, platforms, for_each …
	UnknownTest        Code = "HB2025"
	UnknownModule      Code = "HB2026"
	UnknownResult      Code = "HB2027" // an output that a module does not have
	ModuleCycle        Code = "HB2028" // a module that calls itself
	UnknownInput       Code = "HB2029" // an attribute of a module block that is no variable of the module
	NotInModuleCall    Code = "HB2030" // source, for_each or enabled of a module that need what is built

	// Values.
	WrongType          Code = "HB3001"
	WrongKind          Code = "HB3002" // a cache where a stage is needed
	StringForBuild     Code = "HB3003" // "build" for stage.build
	BuildInString      Code = "HB3004" // "${stage.build}"
	SecretInValue      Code = "HB3005" // a secret in a label, an env, a string
	SensitiveValue     Code = "HB3006" // a sensitive value in an env, label, command …
	NullValue          Code = "HB3007" // null where a value is needed
	MissingVariable    Code = "HB3008" // a required variable without a value
	BadVariableValue   Code = "HB3009" // a value that is not of the variable's type
	ValidationFailed   Code = "HB3010"
	PreconditionFailed Code = "HB3011"
	BadPlatform        Code = "HB3012"
	BadTag             Code = "HB3013"
	BadPort            Code = "HB3014"
	BadSignal          Code = "HB3015"
	BadChmod           Code = "HB3016"
	BadDuration        Code = "HB3017"
	BadNetwork         Code = "HB3018"
	BadSharing         Code = "HB3019"
	BadImageRef        Code = "HB3020"
	BadExpansion       Code = "HB3021" // $… that BuildKit's lexer refuses
	BadForEach         Code = "HB3022"
	BadMatrix          Code = "HB3023"
	BadEnabled         Code = "HB3024"
	BadSize            Code = "HB3025"
	BadPath            Code = "HB3026" // empty, absolute or leaving where it may not
	MissingFile        Code = "HB3027"
	MissingContext     Code = "HB3028" // a context's directory
	FunctionError      Code = "HB3029"
	BadTypeExpr        Code = "HB3030"
	CacheOnlyPath      Code = "HB3031" // a copy of what exists in a cache mount only
	BadOnBuild         Code = "HB3032"
	BadEnum            Code = "HB3033" // another value that is not one of a list
	EmptyValue         Code = "HB3034"
	PathConflict       Code = "HB3035" // two writers of one file, two targets with one tag
	BadHost            Code = "HB3036"
	BadUlimit          Code = "HB3037"
	BadIgnoreFile      Code = "HB3038"
	PlatformOverStage  Code = "HB3039" // platform on a stage that starts from a stage
	BadDevice          Code = "HB3040"
	BadExport          Code = "HB3041" // outputs, cache_from, attest: not their CSV form
	UnknownOption      Code = "HB3042" // an unknown key in an options object
	Operation          Code = "HB3043" // an operator over values it cannot take
	BadMountTarget     Code = "HB3044"
	BadAddress         Code = "HB3045" // git() or http() of what is no such address

	BadModuleSource Code = "HB3047" // a source that is no directory with hbuild files
	NoImage         Code = "HB3048" // tags, labels … of a target without an image

	UnknownOutput Code = "HB3046" // an artifact of an output that the stage does not have

	// The command line.
	BadFlag Code = "HB6001"

	// Warnings.
	UnusedArtifact Code = "HB7001"
	UnusedStage    Code = "HB7002"
	MissingSource  Code = "HB7003" // a copy of a file that the context does not have
)
