-- Neovim without a plugin: takes the settings that SETTINGS names, opens the file that BROKEN names, prints what it shows there.

-- Neovim 0.8 and newer have it; Debian 12 has 0.7.
local start = vim.lsp.start or function(config)
    vim.lsp.buf_attach_client(0, vim.lsp.start_client(config))
end

-- Nothing may be downloaded here, and the standard library's sources would be.
vim.lsp.start = function(config)
    config.init_options.cargo.sysrootSrc = vim.env.RUST_LIBRARY
    start(config)
end

local function shown()
    return vim.tbl_filter(function(one)
        return one.source == "rustc" and one.severity == vim.diagnostic.severity.ERROR
    end, vim.diagnostic.get(0))
end

dofile(vim.env.SETTINGS)
vim.cmd("edit " .. vim.env.BROKEN)
vim.wait(tonumber(vim.env.STUCK_SECONDS) * 1000, function()
    return #shown() > 0
end)
io.stdout:write(vim.fn.json_encode(shown()))
vim.cmd("qall!")
