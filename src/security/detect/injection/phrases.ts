/** Words of "ignore all previous instructions" in the languages of the labelled set; each is looked for near the others, whatever stands between. */

const words = (...alternatives: readonly string[]): RegExp => new RegExp(`(?<!\\p{L})(?:${alternatives.join('|')})`, 'giu');
const near = (...alternatives: readonly string[]): RegExp => new RegExp(alternatives.join('|'), 'iu');

/** What is to be done with them. The object comes after it, or (in the last row) before it. */
const SET_ASIDE = words(
  'ignor(?:e[sz]?|iere?|a|ing|ar|er)(?!\\p{L})|disregard|forget|override|bypass',
  'vergiss|missachte|übergehe',
  'oublie[sz]?|ne tiens pas compte|ne tenez pas compte',
  'olvid[ae]|haz caso omiso|no hagas caso',
  'dimentica(?:te)?|trascura',
  'esqueç[ao]m?|desconsider[ae]',
  'negeer|vergeet',
  'zignoruj|zapomnij|pomiń',
  'игнорируй(?:те)?|забудь(?:те)?|не обращай(?:те)? внимания',
);
const SET_ASIDE_CJK = /忽略|无视|無視|忘记|忘れ|不要理会|不理会|别管|無効に|yok say|unut(?!\p{L})|görmezden gel/giu;

/** Which ones: those from before. */
const EARLIER = near(
  'previous|prior|above|earlier|before|initial|original|everything|\\ball\\b|your (?:rules|guidelines|instructions)|were told|are told|were given',
  'vorherig|bisher|obige|früher|vorig|alles',
  'précédent|ci-dessus|antérieur|toutes|tout ce',
  'anterior|previa|arriba|todas|todo lo',
  'precedent|di prima|tutte|tutto|ricevut',
  'vorige|eerder|bovenstaand|alle',
  'poprzedni|wcześniejs|powyższ|wszystki',
  'предыдущ|прежн|выше|все',
  'önceki|yukarıdaki|tüm|bütün',
  '之前|上面|以上|先前|以前|これまで|上記|前の|所有|すべて|全て',
);

/** And what they are. */
const ORDERS = near(
  'instruction|rule|guideline|direction|directive|command|prompt|restriction|told|polic',
  'anweisung|regel|vorgabe|befehl|gesagt|instruktion',
  'consigne|règle|ordre',
  'instruccion|regla|indicacion|órden',
  'istruzion|regol|ordin',
  'instruç|regra|ordens',
  'instructie|regels',
  'instrukcj|zasad|polece',
  'инструкц|указани|правил|команд',
  'talimat|kural|komut',
  '指令|指示|规则|規則|说明|說明|命令|ルール|提示',
);

const AFTER = 70;
const BEFORE_CJK = 40;

/** Whether somebody is told to set aside what was said before. */
export function hasOverride(text: string): boolean {
  for (const { index, 0: word } of text.matchAll(SET_ASIDE)) {
    const [rest = ''] = text.slice(index + word.length, index + word.length + AFTER).split(/[.!?;。\n]/, 1);
    if (EARLIER.test(rest) && ORDERS.test(rest)) return true;
  }
  for (const { index } of text.matchAll(SET_ASIDE_CJK)) {
    const around = text.slice(Math.max(0, index - BEFORE_CJK), index + BEFORE_CJK);
    if (EARLIER.test(around) && ORDERS.test(around)) return true;
  }
  return false;
}

/** To give out. */
const TELL = words(
  'reveal|print|show|repeat|output|dump|display|recite|tell me|give me|disclose',
  'zeig(?:e)?(?!\\p{L})|gib(?!\\p{L})|wiederhole|nenne|verrate',
  'affiche|montre|répète|révèle|donne',
  'muestra|muéstrame|repite|revela|dime',
  'mostra|ripeti|rivela|dimmi',
  'mostre|repita|revele|diga',
  'toon|herhaal|laat .{0,10}zien',
  'pokaż|ujawnij|powtórz',
  'покажи|выведи|повтори|раскрой|скажи',
);
const TELL_CJK = /输出|告诉我|显示|显出|透露|表示して|教えて|出力|yaz(?!\p{L})|göster/giu;
const SECRET_ORDERS = near(
  'system ?prompt|system message|developer message|(?:hidden|secret|initial|original|your) (?:instructions|prompt|rules)|text above|instructions? (?:at the top|above)',
  'geheimen? anweisung|versteckten? anweisung|deine anweisung|systemnachricht',
  'prompt syst|instructions cachées|consignes cachées',
  'prompt del? sistema|instrucciones ocultas',
  'prompt di sistema|istruzioni nascoste',
  'prompt d[eo] sistema|instruções ocultas',
  'systeemprompt|verborgen instructies',
  'prompt systemowy|ukryte instrukcje',
  'системный промпт|системное сообщение|скрытые инструкции',
  'sistem (?:komut|istem|prompt)|gizli talimat',
  '系统提示|隐藏指令|系統提示|システムプロンプト|隠された指示',
);

/** Whether the text asks for the system prompt. */
export function asksForSystemPrompt(text: string): boolean {
  for (const { index, 0: word } of text.matchAll(TELL)) {
    const [rest = ''] = text.slice(index + word.length, index + word.length + AFTER).split(/[.!?;。\n]/, 1);
    if (SECRET_ORDERS.test(rest)) return true;
  }
  for (const { index } of text.matchAll(TELL_CJK)) if (SECRET_ORDERS.test(text.slice(Math.max(0, index - BEFORE_CJK), index + BEFORE_CJK))) return true;
  return false;
}
