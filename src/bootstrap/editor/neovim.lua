-- Written by `./x setup editor neovim`, which updates it as long as nobody edits it. sha256:@sum@
-- Read by Neovim itself once `:set exrc` is on and `:trust` was said; 0.9 or newer.

-- Everything that compiles goes through ./x, in the same build directory as in a terminal.
local settings = {
    ["rust-analyzer"] = {
        linkedProjects = { @linked@ },
        checkOnSave = true,
        check = {
            overrideCommand = { @check@ },
            invocationStrategy = "per_workspace",
        },
        cargo = {
            sysroot = @sysroot@,
            buildScripts = {
                enable = true,
                overrideCommand = { @build-scripts@ },
                invocationStrategy = "once",
            },
        },
        rustfmt = {
            overrideCommand = { @rustfmt@ },
        },
        procMacro = {
            enable = true,
            server = @proc-macro-server@,
        },
        files = {
            excludeDirs = { @excluded@ },
        },
    },
}

local found, lspconfig = pcall(require, "lspconfig")
if vim.lsp.config then
    vim.lsp.config("rust_analyzer", { settings = settings })
elseif found then
    lspconfig.rust_analyzer.setup({ settings = settings })
elseif vim.lsp.start then
    vim.api.nvim_create_autocmd("FileType", {
        pattern = "rust",
        callback = function()
            vim.lsp.start({
                name = "rust-analyzer",
                cmd = { "rust-analyzer" },
                root_dir = @root@,
                settings = settings,
                init_options = settings["rust-analyzer"],
            })
        end,
    })
end

return settings
