/* parse.y - the grammar: ONNX's textual syntax (docs/Syntax.md of ONNX) with
 * the extensions of doc/ir.md. `const` and `repeat` never arrive here, see
 * stream.c.
 *
 * The tables are canonical LR(1) without default reductions: an error is
 * seen before anything is reduced, so that the expected tokens are exactly
 * those that could stand there. The stack has its full size from the start,
 * since a jump out of memory would leak a grown one. */
%code top {
#include "text.h"
}
%define api.pure full
%define api.prefix {text_yyp}
%define api.location.type {Span}
%define parse.error custom
%define lr.type canonical-lr
%locations
%param { Text *t }

%code {
static int text_yyplex(YYSTYPE *v, Span *at, Text *t);
static void text_yyperror(const Span *at, Text *t, const char *what);
static void missing(Text *t, const char *what);
static void no_arrow(Text *t, Span at);

enum { STACK = 4096 };
#define YYINITDEPTH STACK
#define YYMAXDEPTH STACK
#define YYLLOC_DEFAULT(to, rhs, n)                                        \
    ((to) = (n) ? (Span){ YYRHSLOC(rhs, 1).start, YYRHSLOC(rhs, n).end }  \
                : (Span){ YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end })

/* Actions that may fail have said why; the next error is another one. */
#define STOP_IF_FULL if (t->fatal || t->errors >= MAX_ERRORS) YYABORT
}

%union {
    const char *s;
    Literal *lit;
    Vec *vec;
    ModelInfo *type;
    ModelDim *dim;
    ModelAttr *attr;
    ModelNode *node;
    Param *param;
    Unit *unit;
    Body *body;
    OpName op;
    Pair *pair;
    QuantText *quant;
}

%token <s> IDENT "a name" TYPE "an element type" STRING "a string"
%token <s> CONTAINER "a container type"
%token <lit> INT "an integer" FLOAT "a number"
%token DATA "a list of numbers" ARROW "'=>'"
%token REGION "'region'" QUANT "'@q('" RESYNC "a new line" BAD "a stray character"
%token END 0 "the end of the text"

%type <s> name word label overload text_name
%type <lit> number
%type <vec> units header header_items pairs fn_attrs fn_attr_list params
%type <vec> param_list infos info_items nodes dims args operands places
%type <vec> open attrs attr_list values literals plain_params plain_list
%type <vec> inputs outputs unclosed region
%type <type> type shaped
%type <dim> dim
%type <attr> attr value fn_attr item
%type <node> node statement
%type <param> param info
%type <unit> unit subgraph signature
%type <body> tensor braces codes
%type <quant> quant
%type <op> op
%type <pair> pair header_item

%%
file: units                         { make_model(t, $1); }
    ;
units
    : unit                          { $$ = vec_add(t, NULL, $1); }
    | units unit                    { $$ = vec_add(t, $1, $2); }
    ;
unit
    : header name fn_attrs signature    {
        $$ = $4;
        $$->header = $1;
        $$->header_at = @1;
        $$->name = $2;
        $$->attrs = $3;
        $$->at = @2;
    }
    | header resync '{' open nodes '}'  {
        $$ = text_new(t, sizeof *$$);
        $$->name = "";
        $$->at = @2;
        body_close(t, $4);
    }
    ;
/* the next mistake is another one */
resync
    : error RESYNC                  {
        yyerrok;
        STOP_IF_FULL;
    }
    ;
signature
    : inputs outputs infos '{' open nodes '}'   {
        $$ = text_new(t, sizeof *$$);
        $$->in = $1;
        $$->out = $2;
        $$->infos = $3;
        $$->nodes = $6;
        body_close(t, $5);
    }
    ;
inputs
    : params arrow                  { $$ = $1; }
    | unclosed ARROW                { $$ = $1; }
    ;
outputs
    : params
    | unclosed
    ;
open: %empty                        {
        body_open(t, @$, &$$);
        STOP_IF_FULL;
    }
    ;

/* Headers */
header
    : %empty                        { $$ = NULL; }
    | '<' header_items '>'          { $$ = $2; }
    ;
header_items
    : header_item                   { $$ = vec_add(t, NULL, $1); }
    | header_items ',' header_item  { $$ = vec_add(t, $1, $3); }
    | header_items ','
    | resync                        { $$ = NULL; }
    | resync header_item            { $$ = vec_add(t, NULL, $2); }
    | header_items resync
    | header_items resync header_item {  $$ = vec_add(t, $1, $3); }
    ;
header_item
    : IDENT ':' INT                 {
        $$ = text_new(t, sizeof *$$);
        $$->key = $1;
        literal_int(t, $3, &$$->i);
        $$->at = @$;
    }
    | IDENT ':' STRING              {
        $$ = text_new(t, sizeof *$$);
        $$->key = $1;
        $$->s = $3;
        $$->at = @$;
    }
    | IDENT ':' '[' pairs ']'       {
        $$ = text_new(t, sizeof *$$);
        $$->key = $1;
        $$->list = $4;
        $$->at = @$;
    }
    | IDENT ':' '[' ']'             {
        $$ = text_new(t, sizeof *$$);
        $$->key = $1;
        $$->list = text_new(t, sizeof *$$->list);
        $$->at = @$;
    }
    ;
pairs
    : pair                          { $$ = vec_add(t, NULL, $1); }
    | pairs ',' pair                { $$ = vec_add(t, $1, $3); }
    ;
pair
    : STRING ':' INT                {
        $$ = text_new(t, sizeof *$$);
        $$->key = $1;
        literal_int(t, $3, &$$->i);
        $$->at = @$;
    }
    | STRING ':' STRING             {
        $$ = text_new(t, sizeof *$$);
        $$->key = $1;
        $$->s = $3;
        $$->at = @$;
    }
    ;
fn_attrs
    : %empty                        { $$ = NULL; }
    | '<' '>'                       { $$ = NULL; }
    | '<' fn_attr_list '>'          { $$ = $2; }
    ;
fn_attr_list
    : fn_attr                       { $$ = vec_add(t, NULL, $1); }
    | fn_attr_list ',' fn_attr      { $$ = vec_add(t, $1, $3); }
    ;
fn_attr
    : word                          {
        $$ = text_new(t, sizeof *$$);
        $$->name = $1;
        $$->kind = MA_OTHER;
        $$->ref = $1;               /* marks: declared, no default */
    }
    | attr
    ;

/* Names and types */
word: IDENT
    | TYPE
    | CONTAINER
    ;
name: IDENT                         /* not by way of word: that is slower */
    | TYPE
    | CONTAINER
    | STRING                        { $$ = text_checked(t, @1, $1); }
    ;
text_name
    : IDENT
    | STRING                        { $$ = text_checked(t, @1, $1); }
    ;
type: shaped quant                  { $$ = type_quantize(t, $1, $2); }
    | CONTAINER '(' contents ')'    { $$ = make_container(t, $1); }
    ;
shaped
    : TYPE '[' ']'                  { $$ = make_type(t, $1, NULL, -1); }
    | TYPE '[' dims ']'             { $$ = make_type(t, $1, $3, $3->n); }
    | TYPE                          { $$ = make_type(t, $1, NULL, 0); }
    ;
quant
    : %empty                        { $$ = NULL; }
    | QUANT codes ')'               {
        $$ = text_new(t, sizeof *$$);
        *$$ = (QuantText){ @$, $2, NULL, NULL };
    }
    | QUANT codes ',' codes ')'     {
        $$ = text_new(t, sizeof *$$);
        *$$ = (QuantText){ @$, $2, $4, NULL };
    }
    | QUANT codes ',' codes ',' number ')'  {
        $$ = text_new(t, sizeof *$$);
        *$$ = (QuantText){ @$, $2, $4, $6 };
    }
    ;
codes
    : number                        {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_RULE;
        $$->list = vec_add(t, NULL, $1);
        $$->at = @$;
    }
    | DATA                          {
        $$ = text_new(t, sizeof *$$);
        $$->at = @$;
    }
    | '{' literals '}'              {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_LIST;
        $$->list = $2;
        $$->at = @$;
    }
    ;
contents
    : %empty
    | content
    | contents ',' content
    ;
content
    : type
    | IDENT
    | content '.' word
    ;
dims: dim                           { $$ = vec_add(t, NULL, $1); }
    | dims ',' dim                  { $$ = vec_add(t, $1, $3); }
    ;
dim : INT                           { $$ = make_dim(t, $1, NULL); }
    | IDENT                         {
        $$ = make_dim(t, make_literal(t, IDENT, @1), NULL);
    }
    | TYPE                          { $$ = make_dim(t, NULL, $1); }
    | CONTAINER                     { $$ = make_dim(t, NULL, $1); }
    | STRING                        { $$ = make_dim(t, NULL, $1); }
    | '?'                           { $$ = make_dim(t, NULL, NULL); }
    ;

/* Signatures and declarations */
params
    : '(' ')'                       { $$ = NULL; }
    | '(' param_list ')'            { $$ = $2; }
    ;
/* without its end; what can only follow the whole does */
unclosed
    : '(' param_list                {
        $$ = $2;
        missing(t, "',' or ')'");
        STOP_IF_FULL;
    }
    ;
arrow
    : ARROW
    | '='                           { no_arrow(t, @$); }
    | '-' '>'                       { no_arrow(t, @$); }
    | %empty                        { missing(t, "'=>'"); }
    ;
param_list
    : param                         { $$ = vec_add(t, NULL, $1); }
    | param_list ',' param          { $$ = vec_add(t, $1, $3); }
    | resync                        { $$ = NULL; }
    | resync param                  { $$ = vec_add(t, NULL, $2); }
    | param_list resync
    | param_list resync param       { $$ = vec_add(t, $1, $3); }
    ;
param
    : name                          { $$ = make_param(t, NULL, $1, @1, 0); }
    | type name                     { $$ = make_param(t, $1, $2, @2, 0); }
    | type name '=' tensor          { $$ = make_param(t, $1, $2, @2, $4); }
    | type name '@' IDENT '(' places ')'    {
        $$ = make_param(t, $1, $2, @2, 0);
        $$->info.at = make_places(t, $6);
    }
    ;
infos
    : %empty                        { $$ = NULL; }
    | '<' '>'                       { $$ = NULL; }
    | '<' info_items '>'            { $$ = $2; }
    | '<' info_items {              
        $$ = $2;
        missing(t, "'>' or ','");
        STOP_IF_FULL;
    }
    ;
info_items
    : info                          { $$ = vec_add(t, NULL, $1); }
    | resync                        { $$ = NULL; }
    | resync info                   { $$ = vec_add(t, NULL, $2); }
    | info_items ',' info           { $$ = vec_add(t, $1, $3); }
    | info_items ','
    | info_items resync
    | info_items resync info        { $$ = vec_add(t, $1, $3); }
    ;
info
    : type name                     { $$ = make_param(t, $1, $2, @2, 0); }
    | type name '=' tensor          { $$ = make_param(t, $1, $2, @2, $4); }
    ;

/* Constants */
tensor
    : braces
    | '[' pairs ']'                 {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_RULE;
        $$->name = "external";
        $$->list = $2;
        $$->at = @$;
    }
    ;
braces
    : DATA                          {
        $$ = text_new(t, sizeof *$$);
        $$->at = @$;
    }
    | '{' '}'                       {
        $$ = text_new(t, sizeof *$$);
        $$->at = @$;
    }
    | '{' literals '}'              {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_LIST;
        $$->list = $2;
        $$->at = @$;
    }
    | '{' literals ',' '}'          {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_LIST;
        $$->list = $2;
        $$->at = @$;
    }
    | '@' STRING                    {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_FILE;
        $$->name = $2;
        $$->at = @$;
    }
    | '@' IDENT                     {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_RULE;
        $$->name = $2;
        $$->at = @$;
    }
    | '@' IDENT '(' literals ')'    {
        $$ = text_new(t, sizeof *$$);
        $$->kind = BODY_RULE;
        $$->name = $2;
        $$->list = $4;
        $$->at = @$;
    }
    ;
literals
    : number                        { $$ = vec_add(t, NULL, $1); }
    | STRING                        {
        $$ = vec_add(t, NULL, make_literal(t, STRING, @1));
    }
    | literals ',' number           { $$ = vec_add(t, $1, $3); }
    | literals ',' STRING           {
        $$ = vec_add(t, $1, make_literal(t, STRING, @3));
    }
    ;
/* what follows a number is never in another turn of a repeat, so looking
 * up its variable here is in time */
number
    : INT
    | FLOAT
    | IDENT                         { $$ = make_literal(t, IDENT, @1); }
    ;

/* Nodes */
nodes
    : %empty                        { $$ = text_new(t, sizeof *$$); }
    | nodes node                    {
        for (int i = 0; t->pending && i < t->pending->n; i++)
            vec_add(t, $1, t->pending->v[i]);
        t->pending = NULL;
        $$ = vec_add(t, $1, $2);
        STOP_IF_FULL;
    }
    | nodes region                  {
        for (int i = 0; i < $2->n; i++)
            vec_add(t, $1, $2->v[i]);
        $$ = $1;
        STOP_IF_FULL;
    }
    | nodes resync
    ;
region
    : REGION name '@' IDENT '(' places ')' '{' nodes '}' {
        $$ = make_region(t, $2, $4, $6, $9, @4);
    }
    ;
node: statement
    | node '@' IDENT '(' places ')' {
        $$ = $1;
        node_annotate(t, $1, $3, $5, @3);
    }
    ;
statement
    : label operands '=' op overload attrs '(' args ')' attrs   {
        for (int i = 0; $10 && i < $10->n; i++)
            $6 = vec_add(t, $6, $10->v[i]);
        $$ = make_node(t, $1, $2, &$4, $5, $6, $8, @4);
    }
    ;
label
    : %empty                        { $$ = ""; }
    | '[' ']'                       { $$ = ""; }
    | '[' name ']'                  { $$ = $2; }
    ;
op  : word                          { $$ = (OpName){ "", $1 }; }
    | op '.' word                   {
        $$.domain = *$1.domain ? arena_printf(t->arena, "%s.%s", $1.domain,
                                              $1.op) : $1.op;
        $$.op = $3;
    }
    ;
overload
    : %empty                        { $$ = ""; }
    | ':' word                      { $$ = $2; }
    ;
/* names; nothing before a comma is a name that is left out */
operands
    : %empty                        { $$ = NULL; }
    | name                          { $$ = vec_add(t, NULL, (void *)$1); }
    | operands ','                  {
        $$ = $1 ? $1 : vec_add(t, NULL, (void *)"");
        $$ = vec_add(t, $$, NULL);
    }
    | operands ',' name             {
        $$ = $1 ? $1 : vec_add(t, NULL, (void *)"");
        $$ = vec_add(t, $$, (void *)$3);
    }
    ;
args: %empty                        { $$ = NULL; }
    | name                          { $$ = vec_add(t, NULL, (void *)$1); }
    | type braces                   {
        $$ = vec_add(t, NULL, (void *)make_operand(t, $1, $2, @$));
    }
    | args ','                      {
        $$ = $1 ? $1 : vec_add(t, NULL, (void *)"");
        $$ = vec_add(t, $$, NULL);
    }
    | args ',' name                 {
        $$ = $1 ? $1 : vec_add(t, NULL, (void *)"");
        $$ = vec_add(t, $$, (void *)$3);
    }
    | args ',' type braces          {
        $$ = $1 ? $1 : vec_add(t, NULL, (void *)"");
        $$ = vec_add(t, $$, (void *)make_operand(t, $3, $4, @3));
    }
    ;
places
    : INT                           { $$ = vec_add(t, NULL, $1); }
    | '-'                           { $$ = vec_add(t, NULL, NULL); }
    | places ',' INT                { $$ = vec_add(t, $1, $3); }
    | places ',' '-'                { $$ = vec_add(t, $1, NULL); }
    ;

/* Attributes */
attrs
    : %empty                        { $$ = NULL; }
    | '<' '>'                       { $$ = NULL; }
    | '<' attr_list '>'             { $$ = $2; }
    ;
attr_list
    : attr                          { $$ = vec_add(t, NULL, $1); }
    | attr_list ',' attr            { $$ = vec_add(t, $1, $3); }
    ;
attr
    : word '=' value                { $$ = make_attr(t, $1, "", $3, @$); }
    | word ':' word '=' value       { $$ = make_attr(t, $1, $3, $5, @$); }
    ;
value
    : item
    | '[' ']'                       { $$ = make_list_attr(t, NULL, @$); }
    | '[' values ']'                { $$ = make_list_attr(t, $2, @$); }
    | '@' name                      { $$ = make_ref_attr(t, $2); }
    ;
values
    : item                          { $$ = vec_add(t, NULL, $1); }
    | values ',' item               { $$ = vec_add(t, $1, $3); }
    ;
item
    : number                        { $$ = make_number_attr(t, $1); }
    | STRING                        { $$ = make_string_attr(t, $1); }
    | type                          { $$ = make_type_attr(t); }
    | type braces                   {
        $$ = make_tensor_attr(t, $1, "", $2, @$);
    }
    | type '=' tensor               {
        $$ = make_tensor_attr(t, $1, "", $3, @$);
    }
    | type name braces         {
        $$ = make_tensor_attr(t, $1, $2, $3, @$);
    }
    | type name '=' tensor     {
        $$ = make_tensor_attr(t, $1, $2, $4, @$);
    }
    | subgraph                      { $$ = make_graph_attr(t, $1); }
    ;
subgraph
    : text_name plain_params ARROW plain_params infos '{' open nodes '}'    {
        $$ = text_new(t, sizeof *$$);
        $$->name = $1;
        $$->at = @1;
        $$->in = $2;
        $$->out = $4;
        $$->infos = $5;
        $$->nodes = $8;
        body_close(t, $7);
    }
    ;
/* an error in there is one in the node */
plain_params
    : '(' ')'                       { $$ = NULL; }
    | '(' plain_list ')'            { $$ = $2; }
    ;
plain_list
    : param                         { $$ = vec_add(t, NULL, $1); }
    | plain_list ',' param          { $$ = vec_add(t, $1, $3); }
    ;
%%

static int text_yyplex(YYSTYPE *v, Span *at, Text *t)
{
    int kind = stream_next(t, at);

    switch (kind) {
    case IDENT: case TYPE: case CONTAINER:
        v->s = text_string(t, *at, t->s + at->start, at->end - at->start);
        break;
    case INT: case FLOAT:
        v->lit = make_literal(t, kind, *at);
        break;
    case STRING:
        v->s = text_string(t, *at, t->s + at->start + 1,
                           at->end - at->start - 2);
        break;
    }
    return kind;
}

/* bison's own messages: only that the stack is full */
static void text_yyperror(const Span *at, Text *t, const char *what)
{
    (void)what;
    text_error(t, *at, "the text is nested too deeply");
    t->fatal = true;
}

/* What was expected, in words */

static bool expects(const yysymbol_kind_t *list, int n, yysymbol_kind_t k)
{
    for (int i = 0; i < n; i++)
        if (list[i] == k)
            return true;
    return false;
}

/* Alternatives that say the same are one, and those that nobody means
 * where something else is possible are not mentioned. */
static bool is_mentioned(const yysymbol_kind_t *list, int n,
                         yysymbol_kind_t k)
{
    bool name = expects(list, n, YYSYMBOL_IDENT);

    if (k == YYTRANSLATE(':') || k == YYTRANSLATE('.'))
        return !expects(list, n, YYTRANSLATE('('));
    if (k == YYTRANSLATE('=') || k == YYTRANSLATE('@'))
        return !expects(list, n, YYTRANSLATE(')'));
    if (k == YYSYMBOL_ARROW || k == YYTRANSLATE('<') ||
        k == YYTRANSLATE('{'))          /* `missing` has them */
        return !expects(list, n, YYTRANSLATE(')'));
    if (k == YYSYMBOL_TYPE || k == YYSYMBOL_CONTAINER ||
        k == YYSYMBOL_STRING)
        return !name;
    return k != YYSYMBOL_YYerror && k != YYSYMBOL_RESYNC;
}

static void describe_expected(Buf *b, yysymbol_kind_t *list, int n)
{
    int shown = 0, all = 0;

    if (expects(list, n, YYSYMBOL_IDENT) && !expects(list, n, YYSYMBOL_QUANT) &&
        expects(list, n, YYTRANSLATE('[')) &&
        expects(list, n, YYTRANSLATE('='))) {
        buf_puts(b, expects(list, n, YYTRANSLATE('}')) ? "a node or '}'"
                                                       : "a node");
        return;
    }
    for (int i = 0; i < n; i++)
        if (is_mentioned(list, n, list[i]))
            list[all++] = list[i];
    for (int i = 0; i < all && shown < 6; i++)
        buf_printf(b, "%s%s", !shown++ ? "" : i == all - 1 ? " or " : ", ",
                   yysymbol_name(list[i]));
    if (all > shown)
        buf_puts(b, " ...");
}

/* At a line's beginning the mistake is at the end of the line before. */
static void report(Text *t, Span at, const char *expected)
{
    const Token *k = tok(t, t->last);
    const Token *before = tok(t, t->last ? t->last - 1 : 0);
    uint32_t end = token_end(t, before);
    int n = (int)(token_end(t, k) - k->start);

    n = n > 40 ? 40 : n;
    if (t->last > 0 && at.start == k->start && k->first) {
        n = (int)(end - before->start);
        text_error(t, (Span){ end, end + 1 },
                   "expected %s after '%.*s'", expected, n > 40 ? 40 : n,
                   t->s + before->start);
    } else if (k->kind == END) {
        text_error(t, at, "the text ends here, expected %s", expected);
    } else {
        text_error(t, at, "expected %s before '%.*s'", expected, n,
                   t->s + k->start);
    }
}

/* What is left out in front of a token that says so. */
static void missing(Text *t, const char *what)
{
    report(t, token_span(t, tok(t, t->last)), what);
}

static void no_arrow(Text *t, Span at)
{
    text_error(t, at, "expected '=>' before '%.*s'", (int)(at.end - at.start),
               t->s + at.start);
}

static int yyreport_syntax_error(const yypcontext_t *ctx, Text *t)
{
    enum { MOST = 40 };
    yysymbol_kind_t list[MOST];
    int n = yypcontext_expected_tokens(ctx, list, MOST);
    Buf b;

    if (t->fatal)
        return 0;
    buf_init(&b, t->scratch);
    describe_expected(&b, list, n < 0 ? 0 : n);
    stream_recover(t);
    report(t, *yypcontext_location(ctx), b.s);
    return 0;
}
